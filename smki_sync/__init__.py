"""A local mirror of the SMKI Repository of Great Britain's smart meter system.

The package is laid out in layers; nothing imports upward (``docs/decisions/0001-house.md``):

0. words: :mod:`smki_sync.errors`, :mod:`smki_sync.model`, :mod:`smki_sync.events`
1. rules: :mod:`smki_sync.catalogue`, :mod:`smki_sync.planner`, :mod:`smki_sync.x509`
2. adapters: :mod:`smki_sync.reader`, :mod:`smki_sync.sources`, :mod:`smki_sync.mirror`
3. deeds: :mod:`smki_sync.sync`
4. doors: :mod:`smki_sync.config`, :mod:`smki_sync.cli`

Aside stands :mod:`smki_sync.simulator`, which shares no reading or writing code with the client.
"""

__version__ = "0.1.0"

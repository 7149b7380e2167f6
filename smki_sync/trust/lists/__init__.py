"""ARL and CRL: read, proven with an authority of the mirror, compared with the list in force.

For: the two lists of Appendix O 2.3.3, for authorities and for organisations; device certificates have none.
Refuses: to look a serial number up: a list in force is a table of the mirror.

* :mod:`.octets` a list taken apart, and as strict parsers want it
* :mod:`.reading` octets to a :class:`~smki_sync.model.lists.RevocationList`
* :mod:`.judging` whether a list may come into force
* :mod:`.anchored` whether its signer's chain ends at a trust anchor
* :mod:`.freshness` whether one in force is fresh
"""

"""What a mirror holds, stated so that it can be compared with another, near or far.

For: ``prove`` and ``compare``. Refuses: to change a mirror, and to say that a certificate is genuine: that
is what chains are for.

* :mod:`.statement` position, counts, digest, the chain of files; shards of the set and their members
* :mod:`.file` a statement that somebody sent
* :mod:`.comparison` two mirrors, or a mirror and a statement: equal, or where they part
"""

from smki_sync.proof.file import read_statement
from smki_sync.proof.sides import open_side
from smki_sync.proof.statement import Shard, Statement, state
from smki_sync.verify.manifest import Comparison, Side, compare

__all__ = ["Comparison", "Shard", "Side", "Statement", "compare", "open_side", "read_statement", "state"]

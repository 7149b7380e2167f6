"""The mirror on disk: one SQLite file per generation.

A file has the certificates, the change journal, the ledger, the position and the digest. Each extract is
applied in one transaction. A new generation is built in a separate file and published in one step. The
planner decides what to apply.

* :mod:`.schema` tables, indexes and the ``certificates`` view, with a version
* :mod:`.directory` mirror directory: generations, lock, downloads, the ``mirror.db`` link
* :mod:`.store` one open generation: position, ledger, deltas
* :mod:`.apply` apply the records of a delta to the rows
* :mod:`.build` build a generation from a full and the previous generation
* :mod:`.ledger` applied files, position, counts and digest
* :mod:`.journal` change journal and change feed
* :mod:`.queries` read-only queries
* :mod:`.history` past runs, including runs that failed before the mirror existed
"""

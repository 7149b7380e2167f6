"""The mirror: what is held on this machine's disk, one SQLite file a generation.

For: keeping certificates, change journal, ledger, position and digest together, one change in one
transaction; building a generation aside and letting it take over in one step; answering questions.
Refuses: to decide what to apply (the planner does), to read extracts, to talk.

* :mod:`.schema` the tables and the ``certificates`` view, versioned
* :mod:`.directory` the mirror directory: generations, lock, downloads, the ``mirror.db`` link
* :mod:`.store` one open generation: position, ledger, deltas
* :mod:`.apply` what one record of an extract does to the rows
* :mod:`.build` a new generation from a full, with the memory of the old one
* :mod:`.digest` the set digest of the In-Use certificates
* :mod:`.queries` questions for people, read-only
* :mod:`.history` runs, also those that failed before there was a mirror
"""

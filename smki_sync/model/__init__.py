"""Domain types: immutable values and enums with stable codes, used between packages.

They do no I/O and read no clock. Import them from the modules :mod:`.certificate`, :mod:`.extract`,
:mod:`.plan` and :mod:`.report`.
"""

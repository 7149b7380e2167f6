"""The vocabulary: frozen values and enums with stable codes, named in the field's own terms.

For: every value that crosses from one room to another. Refuses: I/O, clocks, defaults that decide.
Import from the parts: :mod:`.identity`, :mod:`.certificate`, :mod:`.extract`, :mod:`.plan`,
:mod:`.report`.
"""

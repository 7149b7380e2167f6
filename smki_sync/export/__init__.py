"""Certificates out of the mirror, for other programs: lines, files, trees, Parquet.

For: ``find``, which writes to stdout, and ``export``, which writes what is whole or absent. Refuses: to
write to the mirror.

* :mod:`.fields` one certificate as named values
* :mod:`.lines` JSON Lines, CSV and PEM as a stream of text
* :mod:`.whole` a file or a tree that is whole or absent
* :mod:`.parquet` Parquet, the only module that knows pyarrow
* :mod:`.tree` one DER file a certificate
* :mod:`.run` the deed
"""

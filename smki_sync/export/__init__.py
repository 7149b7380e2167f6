"""Certificates for other programs: CSV, JSON Lines, PEM, DER files and Parquet.

* :mod:`.export` writes one state of the mirror to a file or a directory
* :mod:`.formats` one certificate as fields; the text formats and the tree of DER files
* :mod:`.parquet` Parquet; the only module that imports pyarrow
"""

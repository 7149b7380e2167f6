"""Read an extract (gzip + Annex B XML) as a stream of records with constant memory.

Files are not trusted: every size has a limit, and a file must be complete. This package does not parse
certificates: the caller passes the function for that. Only this package imports lxml and isal.
"""

from smki_sync.errors import Fault
from smki_sync.reader.extract import ExtractReader, Understand, read_extract
from smki_sync.reader.gzip_stream import ReaderLimits, inner_name

__all__ = ["ExtractReader", "Fault", "ReaderLimits", "Understand", "inner_name", "read_extract"]

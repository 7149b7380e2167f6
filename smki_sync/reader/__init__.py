"""gz + Annex B XML → records, as a stream with flat memory.

For: turning the bytes of a full or a delta (Appendix O 2.3.3) into what the rules make of them. Refuses:
to trust a file (every size has a bound, an end must be proven), to understand a certificate (a rule
is handed in), to write. Only this package imports lxml and isal.
"""

from smki_sync.errors import Fault
from smki_sync.reader.extract import ExtractReader, Understand, read_extract
from smki_sync.reader.gzip_stream import ReaderLimits, inner_name

__all__ = ["ExtractReader", "Fault", "ReaderLimits", "Understand", "inner_name", "read_extract"]

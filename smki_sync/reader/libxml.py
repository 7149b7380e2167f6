"""What libxml2 says, in this package's words.

For: names without their namespace, syntax errors as ``BadExtract``. Refuses: to parse.
"""

from functools import lru_cache

from lxml.etree import XMLSyntaxError

from smki_sync.errors import BadExtract
from smki_sync.model.faults import Fault, bad_extract

XML_ERR_DOCUMENT_EMPTY = 4  # no "<" where the first should be (libxml2, xmlerror.h)
XML_ERR_RESOURCE_LIMIT = 114  # its own bounds: 256 elements deep, 10 MB of lookahead


@lru_cache(maxsize=256)  # an extract has a dozen names; a hostile one shall not fill the memory
def local_name(tag: str) -> str:
    """Drop the namespace of ``{namespace}name``."""
    return tag.rpartition("}")[2]


def malformed(exc: XMLSyntaxError, *, name: str, where: str) -> BadExtract:
    """Translate a syntax error; ``name`` is the file, ``where`` the place in it, for people."""
    code: int = exc.code  # type: ignore[attr-defined]  # lxml-stubs lack it
    logged = exc.error_log.last_error  # type: ignore[attr-defined]  # as above; the log says more than msg
    found = f"line {logged.line}: {' '.join(logged.message.split())}" if logged else exc.msg
    fault = Fault.NOT_WELL_FORMED
    if code == XML_ERR_DOCUMENT_EMPTY:
        fault = Fault.NOT_XML
    elif code == XML_ERR_RESOURCE_LIMIT:
        fault = Fault.TOO_DEEP if "depth" in found else Fault.RECORD_TOO_LARGE
    return bad_extract(fault, name, f"{where}: {found:.200}")

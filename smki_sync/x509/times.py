"""The two notations of time in a certificate, as seconds since 1970.

For: UTCTime and GeneralizedTime (RFC 5280 4.1.2.5), also as older software wrote them: without
seconds, with a fraction, with an offset from UTC. Refuses: a time without a zone, since it would
have to guess, and days and hours that no calendar has.
"""

import re
from datetime import UTC, datetime, timedelta

from smki_sync.x509.der import Malformed, read_all
from smki_sync.x509.memo import remember

UTC_TIME = b"\x17"
GENERALIZED_TIME = b"\x18"

_ZONE = rb"(?:Z|([+-])([01]\d|2[0-3])([0-5]\d))"
_NOTATIONS = {
    UTC_TIME: re.compile(rb"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?" + _ZONE),
    GENERALIZED_TIME: re.compile(rb"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(?:(\d\d)(?:[.,]\d+)?)?" + _ZONE),
}
_PIVOT = 50  # RFC 5280 4.1.2.5.1: 50 to 99 are of the twentieth century
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@remember
def read_time(element: bytes) -> int:
    """Read one time, header included, as whole seconds since 1970; raises :class:`Malformed`."""
    tag = element[:1]
    notation = _NOTATIONS.get(tag)
    if notation is None:
        raise Malformed(f"no time: {element!r:.40}")
    start, stop = read_all(element, element[0])
    found = notation.fullmatch(element, start, stop)
    if found is None:
        raise Malformed(f"no time: {element[start:stop]!r:.40}")
    year, month, day, hour, minute, second, sign, hours, minutes = found.groups(b"0")
    century = 0
    if tag == UTC_TIME:
        century = 1900 if int(year) >= _PIVOT else 2000
    try:
        parts = (int(month), int(day), int(hour), int(minute), int(second))
        since = datetime(century + int(year), *parts, tzinfo=UTC) - _EPOCH
    except ValueError as exc:
        raise Malformed(f"no time: {element[start:stop]!r:.40}") from exc
    ahead = timedelta(hours=int(hours), minutes=int(minutes))
    return (since + ahead if sign == b"-" else since - ahead) // timedelta(seconds=1)

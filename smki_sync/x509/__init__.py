"""What an X.509 certificate says of itself, leniently read; and whether a strict parser would agree.

For: turning the body of a record into :class:`~smki_sync.model.certificate.Facts`. The walk is our
own because the strict parser refuses certificates that the DCC has issued (an explicit NULL among
the ECDSA parameters), and a mirror that dropped them would lose what its user needs. Refuses: to
verify a signature, to judge a date, to choose an issuer; those are the work of ``trust``.

Use: ``facts, refused = examine(der)``, or ``read_facts(der)`` alone.
"""

import re
from typing import TYPE_CHECKING

from smki_sync.x509 import template_cache
from smki_sync.x509.certificate import facts_of
from smki_sync.x509.der import MalformedDer
from smki_sync.x509.template_cache import ExaminedCertificate

if TYPE_CHECKING:
    from smki_sync.model.certificate import Facts


__all__ = ["ExaminedCertificate", "NotACertificate", "examine", "read_facts", "strict_parser_refuses"]

_LENGTH = rb"(?:[\0-\x7f]|\x81.|\x82..|\x83...|\x84....)"
_SERIAL_NOT_POSITIVE = re.compile(
    rb"\x30%(length)b\x30%(length)b(?:\xa0\x03\x02\x01.)?\x02(?:\x01\0|%(length)b[\x80-\xff])"
    % {b"length": _LENGTH},
    re.DOTALL,
)


class NotACertificate(ValueError):
    """The octets are no X.509 certificate at all; the message says where they stop being one."""


def examine(der: bytes) -> ExaminedCertificate:
    """Read the facts of a certificate, and find out whether the strict parser refuses it.

    What :func:`read_facts` and :func:`strict_parser_refuses` say, faster for a certificate that is
    like one seen before (:mod:`.moulds`). Raises :class:`NotACertificate`.
    """
    known = template_cache.lookup(der)
    if known is None:
        known = ExaminedCertificate(read_facts(der), strict_parser_refuses(der))
        template_cache.store(der, known)
    return known


def read_facts(der: bytes) -> "Facts":
    """Read what the certificate ``der`` says (RFC 5280 4.1; profiles: SEC Appendix M, GBCS 12).

    The outer structure must be sound, to the last octet. An extension that is malformed, repeated or
    unknown is no failure: what it might have said is ``None``. Raises :class:`NotACertificate`.
    """
    try:
        return facts_of(der)
    except MalformedDer as exc:
        raise NotACertificate(str(exc)) from exc


def strict_parser_refuses(der: bytes) -> bool:
    """Whether pyca/cryptography refuses to load ``der``: a caution for whoever uses it next.

    Refused are, among others, ECDSA parameters of NULL (since its version 49). A serial number that
    is not positive (RFC 5280 4.1.2.2) counts as refused without asking: there it warns, today.
    """
    if _SERIAL_NOT_POSITIVE.match(der):
        return True
    from cryptography import x509  # noqa: PLC0415 - loads slowly; who reads facts alone does without it

    try:
        # The number is read when asked for, not when loaded; the result is of no interest.
        _ = x509.load_der_x509_certificate(der).serial_number
    except (ValueError, x509.InvalidVersion):  # InvalidVersion is no ValueError
        return True
    return False

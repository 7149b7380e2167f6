"""Read X.509 certificates leniently, and find out whether a strict parser accepts them.

The parser is our own, because the strict parser refuses certificates that the DCC has issued (with an
explicit NULL in the ECDSA parameters). A mirror without them would lack what its users need. It checks
no signature, date or issuer: those are the work of ``trust``.

``examine(der)`` is fast for certificates that are alike. ``read_facts(der)`` always parses.
"""

import warnings
from typing import TYPE_CHECKING

from smki_sync.x509 import template_cache
from smki_sync.x509.certificate import facts_of
from smki_sync.x509.der import MalformedDer
from smki_sync.x509.template_cache import ExaminedCertificate

if TYPE_CHECKING:
    from smki_sync.model.certificate import Facts


__all__ = ["ExaminedCertificate", "NotACertificate", "examine", "read_facts", "strict_parser_refuses"]


_RUST_PANIC = "PanicException"  # of pyo3; not an Exception, and cannot be imported


class NotACertificate(ValueError):
    """The bytes are not an X.509 certificate. The message says where they stop to be one."""


def examine(der: bytes) -> ExaminedCertificate:
    """Read the facts of a certificate, and find out whether the strict parser refuses it.

    Gives the results of :func:`read_facts` and :func:`strict_parser_refuses`, but faster for a
    certificate that is like an earlier one (:mod:`.template_cache`). Raises :class:`NotACertificate`.
    """
    known = template_cache.lookup(der)
    if known is None:
        known = parse(der)
        template_cache.store(der, known, parse)
    return known


def parse(der: bytes) -> ExaminedCertificate:
    """Examine a certificate without the template cache. Raises :class:`NotACertificate`."""
    return ExaminedCertificate(read_facts(der), strict_parser_refuses(der))


def read_facts(der: bytes) -> "Facts":
    """Read the content of a certificate (RFC 5280 4.1; profiles: SEC Appendix M, GBCS 12).

    Raises :class:`NotACertificate`.
    """
    try:
        return facts_of(der)
    except MalformedDer as exc:
        raise NotACertificate(str(exc)) from exc


def strict_parser_refuses(der: bytes) -> bool:
    """Whether pyca/cryptography refuses the certificate, its names or its extensions.

    It refuses, among others, ECDSA parameters of NULL. It only warns of a serial number that is not
    positive; that is not a refusal.
    """
    from cryptography import x509  # noqa: PLC0415 - loads slowly, and read_facts() does not need it

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = x509.load_der_x509_certificate(der)
            _ = (found.version, found.serial_number, found.issuer, found.subject)
            _ = (found.not_valid_before_utc, found.not_valid_after_utc, found.extensions)
        except BaseException as exc:  # a foreign parser: it has raised TypeError for a name
            if isinstance(exc, Exception) or type(exc).__name__ == _RUST_PANIC:
                return True
            raise
    return False

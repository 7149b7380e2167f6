"""Trust anchors, from the files that the configuration names.

For: :meth:`~smki_sync.config.TrustSettings.read_anchors`. Refuses: to go on without one that was named:
a chain that ends nowhere for a slip of the pen would look like a forgery.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from smki_sync.errors import ConfigError
from smki_sync.trust.anchors import anchors_in

MAX_FILE_BYTES: Final = 1_000_000
"""Longest file of anchors, in bytes: a certificate has some 600 in PEM; more is another file."""


def read_anchors(paths: Iterable[Path]) -> tuple[bytes, ...]:
    """Read every file; the certificates as DER, each once. Raises ``ConfigError`` (``trust-anchor``)."""
    return tuple(dict.fromkeys(der for path in paths for der in _read(path)))


def _read(path: Path) -> tuple[bytes, ...]:
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise _refused(path, f"cannot be read: {exc.strerror}") from exc
    if len(octets) > MAX_FILE_BYTES:
        raise _refused(path, f"is longer than {MAX_FILE_BYTES:,} bytes")
    try:
        return anchors_in(octets)
    except ValueError as exc:
        raise _refused(path, f"holds no anchor: {exc}") from exc


def _refused(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"the trust anchor {path} (trust.anchors) {why}",
        hint="name a certificate in PEM or DER: root OCA, root DCA, or an issuing authority",
        code="trust-anchor",
    )

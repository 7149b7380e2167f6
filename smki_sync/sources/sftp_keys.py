"""Private keys for the login: opened here in every usual format, handed over in the library's one.

For: an OpenSSH or PEM file, encrypted or not, to a key that can sign. Refuses: to ask for a passphrase, to
say anything of a key's content, to look for keys that nobody asked for.
"""

import io
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from smki_sync.errors import ConfigError
from smki_sync.sources.login import SftpLogin

_USUAL_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@contextmanager
def all_keys(login: SftpLogin) -> Iterator[list[paramiko.PKey]]:
    """Give the keys to try: the identity file alone, or, only where asked for, an agent's and the usual."""
    if login.identity_file is not None:
        yield [load_key(login.identity_file, login.key_passphrase)]
        return
    folder = Path.home() / ".ssh"
    found = [folder / name for name in _USUAL_KEYS if login.look_for_keys and (folder / name).is_file()]
    loaded = [load_key(path, login.key_passphrase) for path in found]
    if not login.allow_agent:
        yield loaded
        return
    with closing(paramiko.Agent()) as agent:
        yield [*agent.get_keys(), *loaded]


def load_key(path: Path, passphrase: str | None) -> paramiko.PKey:
    """Load a private key: OpenSSH's format or PEM; Ed25519, ECDSA or RSA; encrypted or not.

    Raises ``ConfigError`` with codes ``identity-file`` (missing, not readable, no such key),
    ``key-passphrase-missing`` or ``key-passphrase-wrong``.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise ConfigError(
            f"the identity file {path} cannot be read ({exc.strerror})",
            code="identity-file",
            hint="Name the private key (not the .pub file), readable by the user that runs smki-sync.",
        ) from exc
    return _for_paramiko(_opened(data, passphrase, path))


def _opened(data: bytes, passphrase: str | None, path: Path) -> PrivateKey:
    """Open a key without the passphrase if that suffices, so that one too many does no harm."""
    load = load_ssh_private_key if b"BEGIN OPENSSH PRIVATE KEY" in data else load_pem_private_key
    try:
        key = load(data, password=None)
    except TypeError:
        key = None  # encrypted
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise _no_key(path) from exc
    if key is None and passphrase is None:
        raise ConfigError(
            f"the identity file {path} is encrypted and no passphrase is given",
            code="key-passphrase-missing",
            hint="Set SMKI_SYNC_KEY_PASSPHRASE.",
        )
    if key is None and passphrase is not None:
        try:
            key = load(data, password=passphrase.encode())
        except (ValueError, UnsupportedAlgorithm) as exc:
            raise ConfigError(
                f"the passphrase given does not open the identity file {path}",
                code="key-passphrase-wrong",
                hint="Check SMKI_SYNC_KEY_PASSPHRASE; ssh-keygen -y -f FILE asks for it and tries it.",
            ) from exc
    if not isinstance(key, PrivateKey):
        raise _no_key(path)
    return key


def _no_key(path: Path) -> ConfigError:
    return ConfigError(
        f"the identity file {path} holds no Ed25519, ECDSA or RSA private key",
        code="identity-file",
        hint="Name the private key, not the .pub file; ssh-keygen -t ed25519 makes one.",
    )


def _for_paramiko(key: PrivateKey) -> paramiko.PKey:
    """Hand an opened key over in the one format that all of the library's key classes read."""
    text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    match key:
        case ed25519.Ed25519PrivateKey():
            return paramiko.Ed25519Key.from_private_key(io.StringIO(text))
        case ec.EllipticCurvePrivateKey():
            return paramiko.ECDSAKey.from_private_key(io.StringIO(text))
        case _:
            return paramiko.RSAKey.from_private_key(io.StringIO(text))

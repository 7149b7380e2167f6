"""Public keys and signatures: ECDSA with SHA-256 on P-256, and nothing else (GBCS 12, Appendix M).

For: proving that a key has signed a certificate. The octets come from our own walk, so that bodies which
the strict parser refuses are proven too; pyca/cryptography is asked for the primitive alone. Refuses:
other algorithms and curves, which no SMKI certificate may have.
"""

from hashlib import sha1
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from smki_sync.model.identity import KeyId, key_id_of
from smki_sync.x509.certificate import Body

ECDSA_WITH_SHA256: Final = bytes.fromhex("300A06082A8648CE3D040302")
"""AlgorithmIdentifier, its parameters absent (RFC 5758 3.2)."""

ECDSA_WITH_SHA256_NULL: Final = bytes.fromhex("300C06082A8648CE3D0403020500")
"""The same with an explicit NULL: forbidden, and found in real test certificates."""

P256_POINT: Final = bytes.fromhex("3059301306072A8648CE3D020106082A8648CE3D03010703420004")
"""How a SubjectPublicKeyInfo of an uncompressed point on P-256 begins (RFC 5480 2); 64 octets follow."""

POINT_OCTETS: Final = 64
_UNCOMPRESSED: Final = b"\x04"
_KEY_ID_OCTETS: Final = 8
_METHOD_2: Final = 0x40  # the first four bits of a key identifier made by method 2
_ECDSA: Final = ECDSA(SHA256())

PublicKey = EllipticCurvePublicKey


def is_p256(spki: bytes) -> bool:
    """Whether a SubjectPublicKeyInfo has the form of a key on P-256; the point is not looked at."""
    return spki.startswith(P256_POINT) and len(spki) == len(P256_POINT) + POINT_OCTETS


def read_key(spki: bytes) -> PublicKey | None:
    """Read a key on P-256; ``None`` for any other, and for a point that is not on the curve."""
    if not is_p256(spki):
        return None
    try:
        return PublicKey.from_encoded_point(SECP256R1(), _UNCOMPRESSED + spki[len(P256_POINT) :])
    except ValueError:
        return None


def key_id_of_key(spki: bytes) -> KeyId:
    """The key identifier that SMKI gives a key: 0100 and the last 60 bits of its SHA-1.

    RFC 5280 4.2.1.2, method 2. For a certificate that does not state its own.
    """
    digest = sha1(spki[len(P256_POINT) - 1 :], usedforsecurity=False).digest()[-_KEY_ID_OCTETS:]
    return key_id_of(bytes((_METHOD_2 | digest[0] & 0x0F,)) + digest[1:])


def has_signed(key: PublicKey, body: Body) -> bool:
    """Whether ``key`` has made the signature of a certificate, over the octets as they stand.

    Whatever algorithm the certificate names, ECDSA with SHA-256 is what is tried.
    """
    try:
        key.verify(body.signature, body.tbs, _ECDSA)
    except InvalidSignature:
        return False
    return True

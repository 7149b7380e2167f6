"""A few octets of DER, for what certificate libraries will not write.

For: the hardware module name of a device, and signatures whose AlgorithmIdentifier carries NULL.
Refuses: to be a general encoder; only lengths under 65 536 octets are written.
"""

SEQUENCE = 0x30
BIT_STRING = 0x03
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06

ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
"""AlgorithmIdentifier as RFC 5758 3.2 has it: parameters absent."""

ECDSA_WITH_SHA256_NULL = bytes.fromhex("300c06082a8648ce3d0403020500")
"""The same with an explicit NULL, as older Java wrote it and some DCC test certificates have it."""


def tlv(tag: int, content: bytes) -> bytes:
    """Write one element with a definite length."""
    size = len(content)
    if size < 0x80:  # noqa: PLR2004  short form of the length, X.690 8.1.3.4
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def first(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Split off the first element: (whole element, its content, what follows)."""
    size, start = data[1], 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(data[2:start], "big")
    return data[: start + size], data[start : start + size], data[start + size :]


def split_signed(der: bytes) -> tuple[bytes, bytes, bytes]:
    """Take a certificate or a CRL apart: (what is signed, algorithm, signature value)."""
    tbs, _, rest = first(first(der)[1])
    algorithm, _, rest = first(rest)
    return tbs, algorithm, first(rest)[1][1:]  # a BIT STRING opens with its count of unused bits


def join_signed(tbs: bytes, algorithm: bytes, signature: bytes) -> bytes:
    """Put a signed object together; the opposite of :func:`split_signed`."""
    return tlv(SEQUENCE, tbs + algorithm + tlv(BIT_STRING, b"\0" + signature))


def with_null_parameters(tbs: bytes) -> bytes:
    """Give the signature algorithm inside a TBSCertificate its explicit NULL."""
    return tlv(SEQUENCE, first(tbs)[1].replace(ECDSA_WITH_SHA256, ECDSA_WITH_SHA256_NULL, 1))

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from support.x509_builders import DEVICE, ISSUING_OCA, ORGANISATION

from smki_sync.x509.der import read_pem_or_der, to_pem


@given(st.binary(min_size=1, max_size=600))
def test_armour_put_on_and_taken_off_leaves_the_octets_as_they_were(octets: bytes) -> None:
    assert read_pem_or_der(to_pem(octets).encode()) == octets


def test_the_armour_is_letter_for_letter_what_another_library_writes() -> None:
    theirs = x509.load_der_x509_certificate(DEVICE).public_bytes(Encoding.PEM).decode()
    assert to_pem(DEVICE) == theirs


def test_of_several_certificates_in_one_file_the_first_is_read_whatever_stands_around_it() -> None:
    text = f"a supplier and its issuer\n{to_pem(ORGANISATION)}\n{to_pem(ISSUING_OCA)}"
    assert read_pem_or_der(text.replace("\n", "\r\n").encode()) == ORGANISATION


def test_octets_without_armour_are_taken_for_der() -> None:
    assert read_pem_or_der(DEVICE) == DEVICE

"""Reading known_hosts: pins, lines without a pin, revoked keys."""

import base64
import hashlib
import hmac

import pytest

from smki_sync.sources.ssh_settings import HostKeyVerdict, fingerprint, read_pins

KEY = b"\0\0\0\x0bssh-ed25519" + bytes(36)
OTHER = b"\0\0\0\x0bssh-ed25519" + bytes(35) + b"\1"
TEXT = base64.b64encode(KEY).decode()
OTHER_TEXT = base64.b64encode(OTHER).decode()


def judged(
    known_hosts: str, *, host: str = "smki.example", port: int = 22, blob: bytes = KEY
) -> HostKeyVerdict:
    return read_pins(known_hosts, host=host, port=port).verdict_on(blob)


def hashed(name: str) -> str:
    salt = bytes(range(20))
    digest = hmac.digest(salt, name.encode(), hashlib.sha1)
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize(
    "hosts",
    [
        "smki.example",
        "other.example,smki.example",
        "SMKI.Example",
        "*.example",
        "smki.exampl?",
        hashed("smki.example"),
    ],
)
def test_line_pins_key_when_it_names_the_host(hosts: str) -> None:
    assert judged(f"{hosts} ssh-ed25519 {TEXT} a comment\n") is HostKeyVerdict.TRUSTED
    assert judged(f"{hosts} ssh-ed25519 {OTHER_TEXT}\n") is HostKeyVerdict.CHANGED


@pytest.mark.parametrize(
    "line",
    [
        "",
        "# smki.example ssh-ed25519 " + TEXT,
        f"other.example ssh-ed25519 {TEXT}",
        f"*.example,!smki.example ssh-ed25519 {TEXT}",
        f"[smki.example]:2222 ssh-ed25519 {TEXT}",
        f"smkiXexample ssh-ed25519 {TEXT}",
        f"{hashed('other.example')} ssh-ed25519 {TEXT}",
        f"|1|not-base64 ssh-ed25519 {TEXT}",
        f"@cert-authority smki.example ssh-ed25519 {TEXT}",
        f"@unheard-of smki.example ssh-ed25519 {TEXT}",
        "smki.example ssh-ed25519 not!base64",
        "smki.example ssh-ed25519",
        "@revoked",
    ],
)
def test_line_pins_nothing_when_it_does_not_name_the_host(line: str) -> None:
    assert judged(line + "\n") is HostKeyVerdict.UNKNOWN


def test_pin_applies_only_to_its_port() -> None:
    line = f"[smki.example]:2222 ssh-ed25519 {TEXT}\n"
    assert judged(line, port=2222) is HostKeyVerdict.TRUSTED
    assert judged(line, port=2223) is HostKeyVerdict.UNKNOWN
    assert judged(f"smki.example ssh-ed25519 {TEXT}\n", port=2222) is HostKeyVerdict.UNKNOWN
    assert (
        judged(f"{hashed('[smki.example]:2222')} ssh-ed25519 {TEXT}\n", port=2222) is HostKeyVerdict.TRUSTED
    )


def test_pin_of_ipv6_address_has_format_of_openssh() -> None:
    assert judged(f"2001:db8::1 ssh-ed25519 {TEXT}\n", host="2001:db8::1") is HostKeyVerdict.TRUSTED
    line = f"[2001:db8::1]:2222 ssh-ed25519 {TEXT}\n"
    assert judged(line, host="2001:db8::1", port=2222) is HostKeyVerdict.TRUSTED


def test_every_pinned_key_is_trusted_when_there_are_several() -> None:
    lines = f"smki.example ssh-ed25519 {OTHER_TEXT}\nsmki.example ssh-ed25519 {TEXT}\n"
    assert judged(lines) is HostKeyVerdict.TRUSTED
    assert judged(lines, blob=OTHER) is HostKeyVerdict.TRUSTED


def test_revoked_key_is_refused_when_it_is_also_pinned() -> None:
    lines = f"smki.example ssh-ed25519 {TEXT}\n@revoked * ssh-ed25519 {TEXT}\n"
    assert judged(lines) is HostKeyVerdict.REVOKED
    assert read_pins(lines, host="smki.example", port=22).trusted == ()


def test_fingerprint_has_format_of_openssh() -> None:
    digest = base64.b64encode(hashlib.sha256(KEY).digest()).decode()
    assert fingerprint(KEY) == f"SHA256:{digest[:43]}"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f"@cert-authority smki.example ssh-ed25519 {TEXT}", "line 2 trusts a certificate authority"),
        (f"@unheard-of smki.example ssh-ed25519 {TEXT}", "line 2 starts with an unknown marker"),
        ("smki.example ssh-ed25519 not!base64", "line 2 has no public key"),
        (f"smki.example ssh-rsa {TEXT}", "line 2 has no public key of the stated type"),
        ("smki.example", "line 2 has no public key"),
    ],
)
def test_unused_line_states_reason_when_it_names_the_host(line: str, why: str) -> None:
    pins = read_pins(f"# a comment\n{line}\n", host="smki.example", port=22)
    assert pins.trusted == ()
    (said,) = pins.unused
    assert said.startswith(why)
    assert read_pins(line, host="other.example", port=22).unused == ()


SEPARATORS = ["\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\r"]
"""Characters that Python's splitlines() treats as line ends, and OpenSSH does not."""


@pytest.mark.parametrize("separator", SEPARATORS)
def test_comment_pins_no_second_key_when_it_contains_a_separator(separator: str) -> None:
    line = f"smki.example ssh-ed25519 {TEXT} comment{separator}smki.example ssh-ed25519 {OTHER_TEXT}\n"
    assert judged(line) is HostKeyVerdict.TRUSTED
    assert judged(line, blob=OTHER) is HostKeyVerdict.CHANGED
    commented = f"# comment{separator}smki.example ssh-ed25519 {TEXT}\n"
    assert judged(commented) is HostKeyVerdict.UNKNOWN


@pytest.mark.parametrize("separator", ["\v", "\f", "\x85", "\xa0", "\u2003"])
def test_fields_are_separated_only_by_spaces_and_tabs(separator: str) -> None:
    assert judged(f"smki.example{separator}ssh-ed25519 {TEXT}\n") is HostKeyVerdict.UNKNOWN
    assert judged(f"smki.example\t ssh-ed25519\t{TEXT}\tcomment\r\n") is HostKeyVerdict.TRUSTED

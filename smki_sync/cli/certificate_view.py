"""The command `show` without typer: look up, print, and parse a plain command line."""

import sys
from binascii import b2a_base64
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smki_sync.cli.context import configure, now_here
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.option_specs import SHOW_OPTIONS
from smki_sync.cli.output import (
    Json,
    ProgressCounter,
    print_bytes,
    print_json,
    print_message,
    print_text,
    schema_of,
)
from smki_sync.config.file import lookup_settings_here
from smki_sync.errors import MirrorError, UsageError
from smki_sync.lookup.identity import FileCertificate, Reading, parse_identity
from smki_sync.mirror.connection import LINK_NAME, disk_errors
from smki_sync.mirror.identity_queries import (
    Certificate,
    Connection,
    EuiIs,
    Identity,
    SerialIs,
    find_certificates,
    open_mirror,
    read_day,
)
from smki_sync.model.certificate import ROLE_NAMES, Usage
from smki_sync.text import days_text, visible, wrapped
from smki_sync.timestamps import utc
from smki_sync.usability import RevocationState, rule_at, unknown_revocation_text, why_unusable

if TYPE_CHECKING:
    from smki_sync.verify.explanation import Explanation

_ROLE_NUMBERS: Final = {name.lower(): number for number, name in ROLE_NAMES.items()}


def link_in(directory: Path) -> Path:
    """Return the path of the current mirror; raises :class:`MirrorError` (``no-mirror``) if there is none."""
    link = directory / LINK_NAME
    with disk_errors(link.parent):
        exists = link.is_symlink()
    if not exists:
        raise MirrorError(
            f"There is no mirror in {link.parent}.", hint="Run `smki-sync sync`.", code="no-mirror"
        )
    return link


def parse_role(text: str | None) -> int | None:
    """Parse a Remote Party Role: a number, or a name in any case."""
    if text is None or (text.isascii() and text.isdigit()):
        return None if text is None else int(text)
    if text.lower() not in _ROLE_NUMBERS:
        raise UsageError(
            f"{text!r:.40} is not a Remote Party Role.",
            hint=f"Use a number or one of {', '.join(ROLE_NAMES.values())}.",
        )
    return _ROLE_NUMBERS[text.lower()]


class ShowRequest(NamedTuple):
    """The options of `show`. At most one of ``pem``, ``der``, ``base64`` and ``as_json``.

    ``explain``: certificates of any status, each with an explanation; only as text or JSON.
    """

    identity: str
    usage: Usage | None = None
    role: str | None = None
    any_status: bool = False
    pem: bool = False
    der: bool = False
    base64: bool = False
    explain: bool = False
    as_of: str | None = None
    mirror: Path | None = None
    config: Path | None = None
    as_json: bool = False


class FileMatch(NamedTuple):
    """A certificate of a file. ``same_serial``: other bytes in the mirror with its issuer and serial."""

    certificate: FileCertificate
    found: list[Certificate]
    same_serial: list[Certificate]


class Lookup(NamedTuple):
    """What the mirror contains. ``matches``: certificates of any status, by the prefix of the reading.

    ``files``: one per certificate of a file. ``quarantined``: records that contain the identity.
    """

    position: date
    matches: dict[str, list[Certificate]]
    files: list[FileMatch]
    quarantined: list[str]

    @property
    def certificates(self) -> list[Certificate]:
        """Every match, of any status."""
        return [c for found in self.matches.values() for c in found]


def render_show(request: ShowRequest) -> Exit:
    """Print the certificates; return :data:`Exit.FINDING` if the answer is no."""
    _check_options(request)
    if request.as_of is not None:
        from smki_sync.cli.evidence import render_evidence  # noqa: PLC0415 - only this option needs it

        return render_evidence(request, request.as_of)
    lookup = look_up(request)
    if len(lookup.matches) > 1 and not lookup.files:
        _print_ambiguous(request, lookup)
        return Exit.FINDING
    every = lookup.certificates
    found = [c for c in every if request.any_status or request.explain or c.in_use]
    explanations = _explanations(request, found)
    hidden = len(every) - len(found)
    if request.as_json:
        print_json(show_document(lookup, found, explanations, hidden=hidden))
    else:
        _print_certificates(request, found, explanations)
        _print_remarks(request, lookup, found, hidden=hidden)
    usable = not request.explain or any(one.is_usable for one in explanations)
    complete = all(match.found for match in lookup.files)
    return Exit.OK if found and usable and complete else Exit.FINDING


def _print_ambiguous(request: ShowRequest, lookup: Lookup) -> None:
    """Say that more than one reading of a text without prefix matches."""
    if request.as_json:
        print_json(show_document(lookup, [], [], hidden=len(lookup.certificates)))
    prefixes = " or ".join(lookup.matches)
    print_message(
        "\n".join(wrapped(f"{request.identity} matches in several ways. Write {prefixes} before it."))
    )


def _check_options(request: ShowRequest) -> None:
    if request.as_json + request.pem + request.der + request.base64 > 1:
        raise UsageError("Use only one of --json, --pem, --der and --base64.")
    if request.as_of is not None and (request.explain or request.pem or request.der or request.base64):
        raise UsageError("--as-of cannot be used with --explain, --pem, --der or --base64.")
    if request.explain and (request.pem or request.der or request.base64):
        raise UsageError("--explain cannot be used with --pem, --der or --base64.")
    if request.der and sys.stdout.isatty():
        raise UsageError(
            "--der writes bytes, which a terminal cannot show.",
            hint="Redirect the output (--der > certificate.der), or use --pem.",
        )


def look_up(request: ShowRequest) -> Lookup:
    """Look the identity up, among certificates of any status."""
    wanted, role = parse_identity(request.identity), parse_role(request.role)
    settings = lookup_settings_here(mirror=request.mirror, config=request.config)
    link, rule = link_in(settings.mirror), rule_at(now_here(), settings.stale_lists)
    matches: dict[str, list[Certificate]] = {}
    files: list[FileMatch] = []
    with ProgressCounter(sys.stderr) as progress, open_mirror(link) as db:
        for one in wanted:
            identity = one.identity if isinstance(one, Reading) else SerialIs(serials=(one.serial,))
            found = find_certificates(
                db, identity, rule, usage=request.usage, role=role, any_status=True, progress=progress
            )
            if isinstance(one, FileCertificate):
                files.append(_file_match(one, found))
                found = files[-1].found
            if found:
                prefix = one.prefix if isinstance(one, Reading) else str(len(files))
                matches[prefix] = found
        quarantined = [] if matches or files else _quarantined_records(db, wanted)
        return Lookup(read_day(db), matches, files, quarantined)


def _file_match(certificate: FileCertificate, found: list[Certificate]) -> FileMatch:
    """Compare bytes: issuer and serial number alone can be forged."""
    return FileMatch(
        certificate,
        [c for c in found if c.der == certificate.der],
        [c for c in found if c.der != certificate.der and c.issuer == certificate.issuer],
    )


def _quarantined_records(db: Connection, wanted: Sequence[Reading | FileCertificate]) -> list[str]:
    """Return the quarantined records that contain the EUI-64 or serial number."""
    from smki_sync.mirror.inspection import quarantined_bodies  # noqa: PLC0415 - only if nothing was found

    identities = [one.identity for one in wanted if isinstance(one, Reading)]
    texts = [text for identity in identities for text in _texts_in_xml(identity)]
    records = [record for text in texts for record in quarantined_bodies(db, text)]
    return [f"{one.file}, record {one.number} ({one.reason})" for one in records]


def _texts_in_xml(identity: Identity) -> tuple[str, ...]:
    match identity:
        case EuiIs(eui=eui):
            return (eui,)
        case SerialIs(serials=serials):
            return serials
        case _:
            return ()


def _explanations(request: ShowRequest, found: Sequence[Certificate]) -> "list[Explanation]":
    """Return an explanation of each certificate, in their order; empty without --explain."""
    if not request.explain:
        return []
    from smki_sync.verify.explanation import explain  # noqa: PLC0415 - loads cryptography
    from smki_sync.verify.inspector import chain_validator  # noqa: PLC0415 - as above

    settings = configure(mirror=request.mirror, config=request.config)
    with open_mirror(link_in(settings.need_mirror())) as db:
        validator = chain_validator(db, settings.trust.read_anchors(), now_here())
        return [explain(db, validator, c) for c in found]


def show_document(
    lookup: Lookup, found: list[Certificate], explanations: "list[Explanation]", *, hidden: int
) -> Json:
    """Return the document of ``show --json``; ``explanations``: one per certificate, or none."""
    from hashlib import sha256  # noqa: PLC0415 - slow, and only JSON needs it

    from smki_sync.export.formats import fields_of  # noqa: PLC0415 - reads X.509, which no other form needs

    more: list[Json] = [{"explanation": explanation_document(one)} for one in explanations]
    return {
        "schema": schema_of("show"),
        "position": lookup.position.isoformat(),
        "certificates": [fields_of(c) | one for c, one in zip(found, more or [{}] * len(found), strict=True)],
        "hidden": hidden,
        "inputs": [
            {
                "sha256": sha256(match.certificate.der).hexdigest(),
                "in_mirror": bool(match.found),
                "same_serial": [fields_of(c) for c in match.same_serial],
            }
            for match in lookup.files
        ],
    }


def explanation_document(explanation: "Explanation") -> Json:
    """Return an explanation as JSON."""
    return {
        "usable": explanation.is_usable,
        "unusable": explanation.unusable,
        "at": utc(explanation.at),
        "steps": [
            {"question": a.question, "good": a.good, "answer": a.words, "rule": a.rule}
            for a in explanation.answers
        ],
    }


def _print_certificates(
    request: ShowRequest, found: list[Certificate], explanations: "list[Explanation]"
) -> None:
    if request.der and found:
        print_bytes(_only_match(found).der)
    elif request.pem:
        from smki_sync.x509.der import to_pem  # noqa: PLC0415 - no other form needs it

        print_text("".join(to_pem(c.der) for c in found), end="")
    elif request.base64:
        print_text("".join(b2a_base64(c.der).decode() for c in found), end="")
    else:
        _print_text(found, explanations)


def _print_text(found: list[Certificate], explanations: "list[Explanation]") -> None:
    """Print one paragraph per certificate; the line that says whether it is usable is coloured."""
    texts = [explanation_text(one) for one in explanations]
    for number, c in enumerate(found):
        print_text(("\n" if number else "") + headline(c))
        print_text(f"  {visible(usability_text(c))}", colour="green" if c.usable else "yellow")
        print_text("\n".join([*facts(c), *texts[number : number + 1]]))


def _print_remarks(request: ShowRequest, lookup: Lookup, found: list[Certificate], *, hidden: int) -> None:
    """Print to stderr what was not found, and what is hidden."""
    lines: list[str] = []
    for match in lookup.files:
        if not match.found:
            lines += _not_in_mirror(request.identity, match)
    if not found and not lines:
        kind = "In-Use certificate" if hidden else "certificate"
        age = days_text((now_here().date() - lookup.position).days)
        lines += wrapped(
            f"No {kind} of {request.identity}{_restrictions(request)}."
            f" The mirror is at position {lookup.position} ({age})."
        )
    if hidden:
        lines += wrapped(f"{hidden} not In-Use: pass --any-status to show {'it' if hidden == 1 else 'them'}.")
    if lookup.quarantined:
        records = "; ".join(lookup.quarantined)
        lines += wrapped(f"Quarantined records that contain it: {records}. Run `smki-sync quarantine`.")
    if lines:
        print_message("\n".join(lines))


def _not_in_mirror(path: str, match: FileMatch) -> list[str]:
    serial = match.certificate.serial
    lines = wrapped(f"{path}: the certificate with serial number {serial} is not in the mirror.")
    for c in match.same_serial:
        lines += wrapped(
            f"The mirror has a different certificate with this issuer and serial number: {headline(c)}."
            f" These differ: {', '.join(_differences(match.certificate.der, c.der))}.",
            indent="  ",
        )
    return lines


def _differences(one: bytes, other: bytes) -> list[str]:
    """Return what differs between two certificates, in words."""
    from smki_sync.x509 import read_facts  # noqa: PLC0415 - only a forged or reissued file needs it

    here, there = read_facts(one)._asdict(), read_facts(other)._asdict()
    return [name for name in here if here[name] != there[name]] or ["key, extensions or signature"]


def _restrictions(request: ShowRequest) -> str:
    wanted = [f"--usage {request.usage}"] * bool(request.usage)
    wanted += [f"--role {request.role}"] * bool(request.role)
    return f"{' with ' if wanted else ''}{' and '.join(wanted)}"


def _only_match(found: list[Certificate]) -> Certificate:
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} certificates match, but --der prints only one.",
            hint="Add --usage or --role, use serial:, or use --pem.",
        )
    return found[0]


_ANSWER_MARKS: Final = {True: "yes", False: "NO", None: "-"}


def explanation_text(explanation: "Explanation") -> str:
    """Return an explanation for people; a step that fails is marked NO."""
    result = "usable" if explanation.is_usable else "NOT usable"
    lines = [f"  {result} at {utc(explanation.at)}, step by step:"]
    for answer in explanation.answers:
        mark = _ANSWER_MARKS[answer.good]
        lines += wrapped(f"{mark:<4} {answer.question}: {answer.words}", indent="  ", hanging=5)
    return "\n".join(lines)


_USAGES: Final = {Usage.DIGITAL_SIGNING: "digital signing", Usage.KEY_AGREEMENT: "key agreement"}
_INDENT: Final = "  "
_HANGING: Final = 12
"""Indent of the second line of a fact."""
_NO_EXPIRY: Final = "9999-12-31"
"""The notAfter date of a certificate that does not expire (RFC 5280 4.1.2.5)."""


def headline(c: Certificate) -> str:
    """Return subject, kind, role and usage in one line."""
    role = "" if c.role is None else f", {ROLE_NAMES.get(c.role, 'role')} ({c.role})"
    usage = f", {_USAGES[Usage(c.usage)]}" if c.usage else ""
    return f"{c.eui or visible(c.subject) or 'no subject'}  {c.kind}{role}{usage}"


def usability_text(c: Certificate) -> str:
    """Return whether a certificate may be used, and if not, why not and since when."""
    if c.unusable is None:
        return f"In-Use, unchanged since {c.last_changed}"
    return f"NOT {'usable' if c.in_use else 'In-Use'}: {why_unusable(c, c.unusable)}"


def _revocation_text(c: Certificate) -> str:
    """Return whether lists tell that a certificate is revoked; empty if there are none for its kind."""
    if c.revocation is RevocationState.UNKNOWN:
        return f"unknown: {unknown_revocation_text(c)}"
    if c.revocation is RevocationState.NOT_REVOKED:
        return f"not revoked, known until {c.revocation_until}"
    return ""


def facts(c: Certificate) -> list[str]:
    """Return all other facts, one per line."""
    ends = "no expiry" if c.not_after.startswith(_NO_EXPIRY) else f"to {c.not_after}"
    changed = "" if c.last_changed == c.first_seen else f", last changed {c.last_changed}"
    digest = _sha1(c.der)
    pairs = (
        ("serial", c.serial),
        ("decimal", str(int(c.serial, 16))),
        ("issuer", c.issuer),
        ("subject", c.subject),
        ("valid", f"{c.not_before} {ends}"),
        ("key id", c.ski or "not in the certificate"),
        ("sha1", f"{digest.hex()}  {b2a_base64(digest, newline=False).decode()}"),
        ("first seen", f"{c.first_seen}{changed}"),
        ("revocation", _revocation_text(c)),
        ("file", c.file),
        ("flags", ", ".join(c.flags.codes)),
    )
    return [line for name, value in pairs if value for line in _fact(name, value)]


def _sha1(data: bytes) -> bytes:
    """Return the SHA-1, without hashlib if possible: it loads OpenSSL, which takes 5 ms."""
    try:
        from _sha1 import sha1  # type: ignore[import-not-found]  # noqa: PLC0415 - part of CPython, for hashlib
    except ImportError:  # another interpreter
        from hashlib import sha1  # noqa: PLC0415 - slow
    digest: bytes = sha1(data, usedforsecurity=False).digest()
    return digest


def _fact(name: str, value: str) -> list[str]:
    return wrapped(f"{name:<{_HANGING - 1}} {value}", indent=_INDENT, hanging=_HANGING)


def show_without_typer(words: Sequence[str]) -> Exit | None:
    """Run `show` with these words; return ``None`` if typer has to parse them."""
    request = parse_show_words(words)
    return None if request is None else render_show(request)


def parse_show_words(words: Sequence[str]) -> ShowRequest | None:
    """Parse a plain command line with :data:`SHOW_OPTIONS`; return ``None`` for any other."""
    given: dict[str, Any] = {}  # by the name of the parameter
    rest = iter(words)
    try:
        for word in rest:
            name, equals, value = word.partition("=")
            if not word.startswith("-"):
                _set_once(given, "identity", word)
                continue
            spec = SHOW_OPTIONS[name]
            if spec.read is None and equals:
                return None
            _set_once(
                given,
                spec.parameter,
                True if spec.read is None else spec.read(value if equals else next(rest)),
            )
        return ShowRequest(**given)
    except (KeyError, StopIteration, TypeError, ValueError):
        return None


def _set_once(given: dict[str, Any], parameter: str, value: object) -> None:
    """Store a value; raises :class:`ValueError` if it was given twice."""
    if parameter in given:
        raise ValueError(parameter)
    given[parameter] = value

"""show without typer: parse identity, look up, render."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from smki_sync.cli.context import configure, now_here
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.output import Json, Progress, print_bytes, print_json, print_text, schema_of
from smki_sync.config.file import mirror_here, parse_path
from smki_sync.config.loader import Config
from smki_sync.errors import MirrorError, UsageError
from smki_sync.mirror.connection import disk_errors
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.queries import (
    Certificate,
    Connection,
    EuiIs,
    Fingerprint,
    Identity,
    SerialIs,
    SkiIs,
    find_certificates,
    open_mirror,
    read_stamp,
)
from smki_sync.model.certificate import (
    ROLE_NAMES,
    KeyId,
    Status,
    Usage,
    parse_eui,
    parse_serial,
    serial_from_decimal,
)
from smki_sync.text import days_text, visible, wrapped
from smki_sync.verify.inspector import Explanation, chain_validator, explain

_HINT: Final = (
    "Write an EUI-64, serial:HEX or serial:DECIMAL, ski:HEX, sha1:HEX, sha256:HEX, or a certificate file."
)
_ROLES: Final = {name.lower(): number for number, name in ROLE_NAMES.items()}
_SUFFIXES: Final = {".pem", ".der", ".crt", ".cer"}
_HASH_OCTETS: Final = {"sha1": 20, "sha256": 32}


def link_in(directory: Path) -> Path:
    """Where the mirror is opened; :class:`MirrorError` (``no-mirror``) where there is none."""
    link = MirrorDirectory(directory).link
    with disk_errors(link.parent):
        is_there = link.is_symlink()
    if not is_there:
        raise MirrorError(
            f"there is no mirror in {link.parent}", hint="Run `smki-sync sync`.", code="no-mirror"
        )
    return link


def parse_role(text: str | None) -> int | None:
    """A Remote Party Role by number or name, any case."""
    if text is None or (text.isascii() and text.isdigit()):
        return None if text is None else int(text)
    if text.lower() not in _ROLES:
        raise UsageError(
            f"{text!r:.40} is no Remote Party Role", hint=f"One of {', '.join(ROLE_NAMES.values())}."
        )
    return _ROLES[text.lower()]


def parse_identity(text: str) -> Identity:
    """Read an identity; :class:`UsageError` says what is wrong with it."""
    prefix, colon, rest = text.partition(":")
    reader = _READERS.get(prefix.lower()) if colon else None
    try:
        if reader:
            return reader(rest.strip())
        if _is_name_of_file(text) or Path(text).is_file():
            return _of_file(Path(text))
        return EuiIs(eui=parse_eui(text))
    except OSError as exc:
        raise UsageError(f"{text!r:.80}: {exc.strerror}", hint=_HINT) from exc
    except ValueError as exc:
        raise UsageError(f"{text!r:.80}: {exc}", hint=_HINT) from exc


def _is_name_of_file(text: str) -> bool:
    """Whether that can only have been meant as a file."""
    return "/" in text or Path(text).suffix.lower() in _SUFFIXES


def _serial(text: str) -> Identity:
    """Digits alone may be hex or decimal: both are looked up."""
    digits = text.replace(":", "").replace(" ", "").removeprefix("0x")
    serials = [parse_serial(digits)]
    if digits.isdigit() and digits.isascii() and digits == text:
        serials.append(serial_from_decimal(digits))
    return SerialIs(serials=tuple(dict.fromkeys(serials)))


def _ski(text: str) -> Identity:
    return SkiIs(ski=KeyId(_hex_bytes(text).hex().upper()))


def _fingerprint(algorithm: str) -> Callable[[str], Identity]:
    def read(text: str) -> Identity:
        digest = _hex_bytes(text)
        if len(digest) != _HASH_OCTETS[algorithm]:
            raise ValueError(f"{algorithm} has {_HASH_OCTETS[algorithm]} octets, this has {len(digest)}")
        return Fingerprint(algorithm=algorithm, digest=digest)

    return read


_READERS: Final[Mapping[str, Callable[[str], Identity]]] = {
    "serial": _serial,
    "ski": _ski,
    "sha1": _fingerprint("sha1"),
    "sha256": _fingerprint("sha256"),
}


def _hex_bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text.replace(":", "").replace("-", ""))
    except ValueError as exc:
        raise ValueError("that is not hex, two digits an octet") from exc


def _of_file(path: Path) -> Identity:
    """A certificate at hand is looked up by its serial number, which has an index."""
    from smki_sync.x509 import NotACertificate, read_facts  # noqa: PLC0415 - only a file needs it
    from smki_sync.x509.der import read_pem_or_der  # noqa: PLC0415 - as above

    try:
        return SerialIs(serials=(read_facts(read_pem_or_der(path.read_bytes())).serial,))
    except OSError as exc:
        raise ValueError(f"it cannot be read: {exc.strerror}") from exc
    except NotACertificate as exc:
        raise ValueError(f"no certificate can be read from it: {exc}") from exc


_MARKS = {True: "yes", False: "NO", None: "-"}


def explained(settings: Config, found: Sequence[Certificate], now: datetime) -> list[tuple[Json, str]]:
    """An explanation of each certificate, in their order, as JSON and as text."""
    with open_mirror(link_in(settings.need_mirror())) as db:
        judge = chain_validator(db, settings.trust.read_anchors(), now)
        every = [explain(db, judge, c) for c in found]
    return [(document_explain(one), text(one)) for one in every]


def document_explain(explanation: Explanation) -> Json:
    """As JSON."""
    return {
        "usable": explanation.is_usable,
        "at": utc(explanation.at),
        "steps": [
            {"question": a.question, "good": a.good, "answer": a.words, "rule": a.rule}
            for a in explanation.answers
        ],
    }


def text(explanation: Explanation) -> str:
    """For people: one step a line or more, what speaks against it marked."""
    end = "usable" if explanation.is_usable else "NOT usable"
    lines = [f"  {end} at {utc(explanation.at)}, step by step:"]
    for answer in explanation.answers:
        mark = _MARKS[answer.good]
        lines += wrapped(f"{mark:<4} {answer.question}: {answer.words}", indent="  ", hanging=5)
    return "\n".join(lines)


_USAGES: Final = {Usage.DIGITAL_SIGNING: "digital signing", Usage.KEY_AGREEMENT: "key agreement"}
_STATUSES: Final = {status.value: status.words for status in Status}
_INDENT: Final = "  "
_HANGING: Final = 12
"""Where the second line of a fact begins: below the first."""
_NEVER: Final = "9999-12-31"
"""The date by which a certificate says that it has no end (RFC 5280 4.1.2.5)."""


def headline(c: Certificate) -> str:
    """Who it is, and what for."""
    role = "" if c.role is None else f", {ROLE_NAMES.get(c.role, 'role')} ({c.role})"
    usage = f", {_USAGES[Usage(c.usage)]}" if c.usage else ""
    return f"{c.eui or visible(c.subject) or 'no name'}  {c.kind}{role}{usage}"


def is_usable(c: Certificate, now: datetime) -> bool:
    """Whether it is In-Use and within its validity; no signature is looked at."""
    return c.in_use and c.not_before <= _text(now) <= c.not_after


def standing(c: Certificate, now: datetime) -> str:
    """Whether it may be used, and if not, why not and since when."""
    if c.in_use and c.not_after < _text(now):
        return f"NOT usable: In-Use, but its validity ended {c.not_after}"
    if c.in_use and c.not_before > _text(now):
        return f"NOT usable: In-Use, but its validity begins {c.not_before}"
    if c.in_use:
        return f"In-Use, unchanged since {c.last_changed}"
    if c.revoked:
        why = f": {c.revocation_reason}" if c.revocation_reason else ""
        return f"NOT In-Use: revoked since {c.revoked} by {c.revoked_by}{why}"
    if c.withdrawn:
        return f"NOT In-Use: withdrawn, no longer listed by the full of {c.withdrawn}"
    return f"NOT In-Use: status {_STATUSES[c.status]} ({c.status}) since {c.last_changed}"


def facts(c: Certificate) -> list[str]:
    """Everything else, one fact a line."""
    ends = "without end" if c.not_after.startswith(_NEVER) else f"to {c.not_after}"
    changed = "" if c.last_changed == c.first_seen else f", last changed {c.last_changed}"
    pairs = (
        ("serial", c.serial),
        ("issuer", c.issuer),
        ("subject", c.subject),
        ("valid", f"{c.not_before} {ends}"),
        ("key id", c.ski or "none in the certificate"),
        ("first seen", f"{c.first_seen}{changed}"),
        ("file", c.file),
        ("flags", ", ".join(c.flags.codes)),
    )
    return [line for name, value in pairs if value for line in _fact(name, value)]


def _fact(name: str, value: str) -> list[str]:
    return wrapped(f"{name:<{_HANGING - 1}} {value}", indent=_INDENT, hanging=_HANGING)


def _text(moment: datetime) -> str:
    """A time as the mirror writes it: such texts compare as the times do."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowRequest:
    """What was asked, as it was written. At most one of ``pem``, ``der`` and ``as_json``.

    ``explain``: of any status, with an explanation; neither in PEM nor in DER.
    """

    identity: str
    usage: Usage | None = None
    role: str | None = None
    any_status: bool = False
    pem: bool = False
    der: bool = False
    explain: bool = False
    mirror: Path | None = None
    config: Path | None = None
    as_json: bool = False


def render_show(asked: ShowRequest) -> Exit:
    """Write the answer; :data:`Exit.FINDING` where there is none."""
    if asked.as_json + asked.pem + asked.der > 1:
        raise UsageError("--json, --pem and --der exclude one another")
    if asked.explain and (asked.pem or asked.der):
        raise UsageError("--explain goes with --json or with words, not with --pem or --der")
    every, position, aside = _look_up(asked)
    found = [c for c in every if asked.any_status or asked.explain or c.in_use]
    if asked.as_json:
        print_json(document(found, position, _explained(asked, found)))
    elif not found:
        _print_none(f"{asked.identity}{_restrictions(asked)}", position, others=len(every), aside=aside)
    elif asked.der:
        print_bytes(_only(found).der)
    elif asked.pem:
        _print_pem(found)
    else:
        _print_text(asked, found)
    return Exit.OK if found else Exit.FINDING


def _look_up(asked: ShowRequest) -> tuple[list[Certificate], date, list[str]]:
    """Those of any status, so that a no can say whether there are others; and if none, what is set aside."""
    wanted, role = parse_identity(asked.identity), parse_role(asked.role)
    link = link_in(mirror_here(mirror=asked.mirror, config=asked.config))
    with Progress(sys.stderr) as progress, open_mirror(link) as db:
        found = find_certificates(db, wanted, usage=asked.usage, role=role, any_status=True, told=progress)
        return found, read_stamp(db).position, [] if found else _quarantined_records(db, wanted)


def _quarantined_records(db: Connection, wanted: Identity) -> list[str]:
    """Records in quarantine in which the EUI-64 or serial number stands."""
    from smki_sync.mirror.inspection import quarantined_bodies  # noqa: PLC0415 - only where nothing was found

    match wanted:
        case EuiIs(eui=eui):
            texts: tuple[str, ...] = (eui,)
        case SerialIs(serials=serials):
            texts = serials
        case _:
            texts = ()
    records = [record for text in texts for record in quarantined_bodies(db, text)]
    return [f"{one.file}, record {one.number} ({one.reason})" for one in records]


def document(found: list[Certificate], position: date, explained: list[tuple[Json, str]]) -> Json:
    """The document of ``show --json``; ``explained``: one for each certificate, or none at all."""
    from smki_sync.export.formats import fields_of  # noqa: PLC0415 - reads X.509, which no other form needs

    why: list[Json] = [{"explanation": one} for one, _ in explained] or [{} for _ in found]
    return {
        "schema": schema_of("show"),
        "position": position.isoformat(),
        "certificates": [fields_of(c) | more for c, more in zip(found, why, strict=True)],
    }


def _print_pem(found: list[Certificate]) -> None:
    from smki_sync.x509.der import to_pem  # noqa: PLC0415 - no other form needs it

    print_text("".join(to_pem(c.der) for c in found), end="")


def _explained(asked: ShowRequest, found: list[Certificate]) -> list[tuple[Json, str]]:
    """An explanation of each, as JSON and as text; none where it was not asked for."""
    if not asked.explain:
        return []

    return explained(configure(mirror=asked.mirror, config=asked.config), found, now_here())


def _print_text(asked: ShowRequest, found: list[Certificate]) -> None:
    """One paragraph a certificate; the line that says whether it may be used is coloured."""
    now = now_here()
    why = [text for _, text in _explained(asked, found)]
    for number, c in enumerate(found):
        print_text(("\n" if number else "") + headline(c))
        print_text(f"  {visible(standing(c, now))}", colour="green" if is_usable(c, now) else "yellow")
        print_text("\n".join([*facts(c), *why[number : number + 1]]))


def _print_none(what: str, position: date, *, others: int, aside: list[str]) -> None:
    age = days_text((now_here().date() - position).days)
    held = "holds no certificate of" if not others else "holds no certificate In-Use of"
    more = f"; {others} not In-Use: --any-status shows them" if others else ""
    lines = wrapped(f"The mirror, as of {position} ({age}), {held} {what}{more}.")
    if aside:
        lines += wrapped(
            f"In the quarantine, not served: {'; '.join(aside)}. `smki-sync quarantine` says why.",
            indent="  ",
        )
    sys.stderr.write("\n".join(lines) + "\n")


def _restrictions(asked: ShowRequest) -> str:
    wanted = [f"--usage {asked.usage}"] * bool(asked.usage) + [f"--role {asked.role}"] * bool(asked.role)
    return f"{' with ' if wanted else ''}{' and '.join(wanted)}"


def _only(found: list[Certificate]) -> Certificate:
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} certificates match, and --der writes one",
            hint="Add --usage or --role, name it by serial:, or use --pem.",
        )
    return found[0]


def _usage(text: str) -> Usage:
    return Usage(text.upper())


OPTIONS: Final[Mapping[str, tuple[str, Callable[[str], object] | None]]] = {
    "--usage": ("usage", _usage),
    "--role": ("role", str),
    "--any-status": ("any_status", None),
    "--pem": ("pem", None),
    "--der": ("der", None),
    "--explain": ("explain", None),
    "--mirror": ("mirror", parse_path),
    "--config": ("config", parse_path),
    "--json": ("as_json", None),
}
"""Options by their spelling: the parameter, and how its value is read; ``None`` for a flag."""


def show_without_typer(words: Sequence[str]) -> Exit | None:
    """Answer ``show`` with these words; ``None`` where typer had better look at them."""
    asked = read(words)
    return None if asked is None else render_show(asked)


def read(words: Sequence[str]) -> ShowRequest | None:
    """What these words ask, if that is plain."""
    given: dict[str, Any] = {}  # each by the name of its parameter, of the type that it has there
    rest = iter(words)
    try:
        for word in rest:
            name, equals, value = word.partition("=")
            if not word.startswith("-"):
                _put(given, "identity", word)
                continue
            parameter, convert = OPTIONS[name]
            if convert is None and equals:
                return None
            _put(given, parameter, True if convert is None else convert(value if equals else next(rest)))
        return ShowRequest(**given)
    except (KeyError, StopIteration, TypeError, ValueError):
        return None


def _put(given: dict[str, Any], parameter: str, value: object) -> None:
    """Take a value; given twice, it is not plain."""
    if parameter in given:
        raise ValueError(parameter)
    given[parameter] = value

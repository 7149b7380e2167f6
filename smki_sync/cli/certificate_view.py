"""The answer of ``show``: one subject's certificates, in the form that was asked for.

For: :mod:`.show`, and :mod:`.quick`, which does without typer. Refuses: to load what this form of the answer
does not need.
"""

import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from smki_sync.cli.certificates import facts, headline, is_usable, standing
from smki_sync.cli.context import configure, now_here
from smki_sync.cli.documents import Json, schema_of
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.identities import link_in, parse_identity, parse_role
from smki_sync.cli.output import say, say_json, say_octets
from smki_sync.cli.progress import Progress
from smki_sync.config.place import mirror_here
from smki_sync.errors import UsageError
from smki_sync.mirror.queries.identity import EuiIs, Identity, SerialIs, find_certificates
from smki_sync.mirror.queries.opening import Connection, open_mirror
from smki_sync.mirror.queries.row import Certificate
from smki_sync.mirror.queries.stamp import read_stamp
from smki_sync.model.certificate import Usage
from smki_sync.text import block, in_days, visible


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
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


def answer(asked: Asked) -> Exit:
    """Write the answer; :data:`Exit.FINDING` where there is none."""
    if asked.as_json + asked.pem + asked.der > 1:
        raise UsageError("--json, --pem and --der exclude one another")
    if asked.explain and (asked.pem or asked.der):
        raise UsageError("--explain goes with --json or with words, not with --pem or --der")
    every, position, aside = _look_up(asked)
    found = [c for c in every if asked.any_status or asked.explain or c.in_use]
    if asked.as_json:
        say_json(document(found, position, _explained(asked, found)))
    elif not found:
        _say_none(f"{asked.identity}{_restrictions(asked)}", position, others=len(every), aside=aside)
    elif asked.der:
        say_octets(_only(found).der)
    elif asked.pem:
        _say_pem(found)
    else:
        _say_to_people(asked, found)
    return Exit.OK if found else Exit.FINDING


def _look_up(asked: Asked) -> tuple[list[Certificate], date, list[str]]:
    """Those of any status, so that a no can say whether there are others; and if none, what is set aside."""
    wanted, role = parse_identity(asked.identity), parse_role(asked.role)
    link = link_in(mirror_here(mirror=asked.mirror, config=asked.config))
    with Progress(sys.stderr) as progress, open_mirror(link) as db:
        found = find_certificates(db, wanted, usage=asked.usage, role=role, any_status=True, told=progress)
        return found, read_stamp(db).position, [] if found else _set_aside(db, wanted)


def _set_aside(db: Connection, wanted: Identity) -> list[str]:
    """Records in quarantine in which the EUI-64 or serial number stands."""
    from smki_sync.mirror.explain import records_aside  # noqa: PLC0415 - only where nothing was found

    match wanted:
        case EuiIs(eui=eui):
            texts: tuple[str, ...] = (eui,)
        case SerialIs(serials=serials):
            texts = serials
        case _:
            texts = ()
    records = [record for text in texts for record in records_aside(db, text)]
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


def _say_pem(found: list[Certificate]) -> None:
    from smki_sync.x509.pem import to_pem  # noqa: PLC0415 - no other form needs it

    say("".join(to_pem(c.der) for c in found), end="")


def _explained(asked: Asked, found: list[Certificate]) -> list[tuple[Json, str]]:
    """An explanation of each, as JSON and as text; none where it was not asked for."""
    if not asked.explain:
        return []
    from smki_sync.cli.explain import explained  # noqa: PLC0415 - loads what proves signatures

    return explained(configure(mirror=asked.mirror, config=asked.config), found, now_here())


def _say_to_people(asked: Asked, found: list[Certificate]) -> None:
    """One paragraph a certificate; the line that says whether it may be used is coloured."""
    now = now_here()
    why = [text for _, text in _explained(asked, found)]
    for number, c in enumerate(found):
        say(("\n" if number else "") + headline(c))
        say(f"  {visible(standing(c, now))}", colour="green" if is_usable(c, now) else "yellow")
        say("\n".join([*facts(c), *why[number : number + 1]]))


def _say_none(what: str, position: date, *, others: int, aside: list[str]) -> None:
    age = in_days((now_here().date() - position).days)
    held = "holds no certificate of" if not others else "holds no certificate In-Use of"
    more = f"; {others} not In-Use: --any-status shows them" if others else ""
    lines = block(f"The mirror, as of {position} ({age}), {held} {what}{more}.")
    if aside:
        lines += block(
            f"In the quarantine, not served: {'; '.join(aside)}. `smki-sync quarantine` says why.",
            indent="  ",
        )
    sys.stderr.write("\n".join(lines) + "\n")


def _restrictions(asked: Asked) -> str:
    wanted = [f"--usage {asked.usage}"] * bool(asked.usage) + [f"--role {asked.role}"] * bool(asked.role)
    return f"{' with ' if wanted else ''}{' and '.join(wanted)}"


def _only(found: list[Certificate]) -> Certificate:
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} certificates match, and --der writes one",
            hint="Add --usage or --role, name it by serial:, or use --pem.",
        )
    return found[0]

"""The command `bundle`."""

import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from smki_sync.cli import arguments
from smki_sync.cli.arguments import MirrorOptions, add_command, load_config, parse_path, parse_time
from smki_sync.cli.certificate_view import parse_role
from smki_sync.cli.check import At, parse_need, unproven_document
from smki_sync.cli.context import now_here
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.option_specs import FILTER_PANEL, OUTPUT_PANEL
from smki_sync.cli.output import (
    Json,
    ProgressCounter,
    check_place,
    outside_mirror,
    print_json,
    print_message,
    print_text,
    schema_of,
)
from smki_sync.errors import UsageError
from smki_sync.files import atomic_file, atomic_tree
from smki_sync.lookup.bundle import (
    DUIS_SCHEMA,
    REQUEST_FORMS,
    Bundle,
    BundlePurpose,
    BundleRequest,
    RequestForm,
    duis_elements,
    make_bundle,
)
from smki_sync.lookup.identity import FileCertificate, parse_identity
from smki_sync.mirror.queries import (
    Certificate,
    Connection,
    EuiIs,
    SerialIs,
    find_certificates,
    open_mirror,
    read_position,
)
from smki_sync.model.certificate import ROLE_NAMES, Usage, parse_eui
from smki_sync.model.plan import Position
from smki_sync.text import wrapped
from smki_sync.usability import UsabilityRule, rule_at
from smki_sync.verify.inspector import chain_validator
from smki_sync.x509.der import to_pem

_SUPPLIER: Final = 2


def register_bundle(app: typer.Typer) -> None:
    """Add the command."""
    add_command(
        app,
        "bundle",
        bundle,
        examples=(
            "smki-sync bundle 90-B3-D5-1F-30-01-00-00 --role supplier --for 6.15.1 --top-up serial:208BB5",
            "smki-sync bundle 90-B3-D5-1F-30-01-00-00 --role supplier --for 6.23 --at 2027-01-15",
            "smki-sync bundle 90-B3-D5-1F-30-02-00-00 --role networkOperator --for pem --output bundle.pem",
        ),
    )


def bundle(
    eui: Annotated[str, typer.Argument(metavar="EUI", help="EUI-64 of the organisation.")],
    *,
    role: Annotated[
        str, typer.Option("--role", metavar="R", help="Its Remote Party Role, by number or name.")
    ],
    purpose: Annotated[
        BundlePurpose,
        typer.Option("--for", help="Service request (DUIS elements), or pem or der.", case_sensitive=False),
    ],
    at: At = None,
    need: Annotated[
        str | None,
        typer.Option(
            "--need",
            metavar="DS,KA",
            help="Key usages to include (default: DS,KA; for 8.5 KA).",
            rich_help_panel=FILTER_PANEL,
        ),
    ] = None,
    top_up: Annotated[
        str | None,
        typer.Option(
            "--top-up",
            metavar="IDENTITY",
            help="The prepayment certificate: serial:, ski:, sha1:, sha256: or a file.",
            rich_help_panel=FILTER_PANEL,
        ),
    ] = None,
    with_root: Annotated[
        bool,
        typer.Option(
            "--with-root",
            help="Include a self-signed root in the path (default: no, because devices hold it).",
            rich_help_panel=FILTER_PANEL,
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="PATH",
            help="Write to this file; for der, to this new directory (default: stdout).",
            parser=parse_path,
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing PATH.", rich_help_panel=OUTPUT_PANEL)
    ] = False,
    place: MirrorOptions,
    as_json: arguments.Json = False,
) -> None:
    """Print certificates and their path for a service request.

    The newest usable certificate of each usage, and the path from its issuer to a trust anchor. If one is not
    usable at that time or not unique, or the path does not reach a trust anchor, nothing is written, the
    candidates are listed, and the exit code is 10.
    """
    form = REQUEST_FORMS.get(purpose)
    number = parse_role(role)
    assert number is not None  # a text was given
    usages = _usages(form, need)
    _check_request(purpose, form, number, usages, top_up=top_up)
    if purpose is BundlePurpose.DER and not output and not as_json:
        raise UsageError("--for der needs --output DIR.", hint="Each certificate becomes a file in DIR.")
    config = load_config(place)
    if output:
        check_place(outside_mirror(output, config), directory=purpose is BundlePurpose.DER)
    moment = parse_time(at) if at else now_here()
    rule = rule_at(moment, config.policy.stale_lists)
    try:
        party = parse_eui(eui)
    except ValueError as exc:
        raise UsageError(f"{eui!r:.40}: {exc}.") from exc
    with ProgressCounter(sys.stderr) as progress, open_mirror(place.link()) as db:
        named = None if top_up is None else _named_certificates(db, top_up, rule, progress)
        request = BundleRequest(
            eui=party, role=number, rule=rule, usages=usages, top_up=named, with_root=with_root
        )
        anchors = config.trust.read_anchors()
        made = make_bundle(db, chain_validator(db, anchors, moment, among_end_entities=False), request)
        position = read_position(db)
    if as_json:
        print_json(bundle_document(made, request, purpose, position))
    if made.problems:
        if not as_json:
            print_message("\n".join(_problem_lines(made, request)))
        raise typer.Exit(Exit.FINDING)
    _write(made, purpose, form, output, force=force, as_json=as_json)
    print_message("\n".join(_remark_lines(made, position)))
    raise typer.Exit(Exit.OK)


def _usages(form: RequestForm | None, need: str | None) -> tuple[Usage, ...]:
    if need is None:
        return form.usages if form else tuple(Usage)
    chosen = parse_need(need)
    return tuple(usage for usage in Usage if usage in chosen)  # in the order of the schema


def _check_request(
    purpose: BundlePurpose,
    form: RequestForm | None,
    role: int,
    usages: tuple[Usage, ...],
    *,
    top_up: str | None,
) -> None:
    """Raise :class:`UsageError` if the service request does not exist in this form."""
    if top_up is not None and role != _SUPPLIER:
        raise UsageError(
            "--top-up is only for role supplier.", hint="Only suppliers have prepayment certificates."
        )
    if form is None:
        return
    if role not in form.roles:
        roles = " or ".join(ROLE_NAMES[one] for one in sorted(form.roles))
        raise UsageError(f"{purpose} replaces certificates of role {roles}, not {role}.")
    if form.required and form.required not in usages:
        raise UsageError(f"{purpose} requires a certificate with usage {form.required}.")
    if top_up is not None and not form.allows_top_up:
        raise UsageError(f"{purpose} has no element for a prepayment certificate.")


def _named_certificates(
    db: Connection, text: str, rule: UsabilityRule, progress: ProgressCounter
) -> tuple[Certificate, ...]:
    """Return the certificates that --top-up names; raises :class:`UsageError` if it is an EUI-64."""
    found: list[Certificate] = []
    for one in parse_identity(text):
        if isinstance(one, FileCertificate):
            matches = find_certificates(db, SerialIs(serials=(one.serial,)), rule, any_status=True)
            found += [c for c in matches if c.der == one.der]
            continue
        if isinstance(one.identity, EuiIs):
            raise UsageError(
                "--top-up: an EUI-64 does not name one certificate.",
                hint="Use serial:, ski:, sha1: or a file.",
            )
        found += find_certificates(db, one.identity, rule, any_status=True, progress=progress)
    return tuple(found)


def _write(
    made: Bundle,
    purpose: BundlePurpose,
    form: RequestForm | None,
    output: Path | None,
    *,
    force: bool,
    as_json: bool,
) -> None:
    if purpose is BundlePurpose.DER:
        if output:
            with atomic_tree(output, force=force) as directory:
                for name, der in _named_files(made):
                    (directory / name).write_bytes(der)
        return
    text = bundle_text(made, form)
    if output:
        with atomic_file(output, force=force) as file:
            file.write(text)
    elif not as_json:
        print_text(text, end="")


def bundle_text(made: Bundle, form: RequestForm | None) -> str:
    """Return the DUIS elements, or PEM if there is no form: first the certificates, then the path."""
    if form:
        return duis_elements(made, form)
    return "".join(to_pem(der) for _, der in _named_files(made))


def _named_files(made: Bundle) -> Iterator[tuple[str, bytes]]:
    """Yield a file name and DER for each certificate, the path last."""
    for item in made.items:
        yield f"{item.element}.der", item.certificate.der
    for number, der in enumerate(made.path, 1):
        yield f"path-{number}.der", der


def bundle_document(made: Bundle, request: BundleRequest, purpose: BundlePurpose, position: Position) -> Json:
    """Return the document of ``bundle --json``."""
    form = REQUEST_FORMS.get(purpose)
    complete = not made.problems
    return {
        "schema": schema_of("bundle"),
        "outcome": "complete" if complete else "findings",
        "position": position.day.isoformat(),
        "unproven": unproven_document(position),
        "at": request.rule.at,
        "eui": request.eui,
        "role": request.role,
        "for": purpose.value,
        "duis_schema": DUIS_SCHEMA if form else None,
        "certificates": [
            {
                "element": item.element.value,
                **_facts(item.certificate),
                "base64": b64encode(item.certificate.der).decode(),
            }
            for item in made.items
        ],
        "path": [b64encode(der).decode() for der in made.path],
        "anchor": made.anchor or None,
        "text": bundle_text(made, form) if complete and purpose is not BundlePurpose.DER else None,
        "remarks": list(made.remarks),
        "problems": [
            {
                "element": str(problem.element),
                "code": str(problem.code),
                "why": problem.why,
                "candidates": [
                    {**_facts(one.certificate), "verdict": one.verdict.value, "why": one.why or None}
                    for one in problem.candidates
                ],
            }
            for problem in made.problems
        ],
    }


def _facts(c: Certificate) -> Json:
    return {
        "usage": c.usage,
        "serial": c.serial,
        "ski": c.ski,
        "issuer": c.issuer,
        "not_before": c.not_before,
        "not_after": c.not_after,
    }


def _problem_lines(made: Bundle, request: BundleRequest) -> Iterator[str]:
    """Yield why nothing was written, with the candidates."""
    yield f"Nothing was written: no complete bundle for {request.eui}."
    for problem in made.problems:
        yield from wrapped(f"{problem.element}: {problem.code}. {problem.why}")
        for one in problem.candidates:
            c = one.certificate
            yield from wrapped(
                f"serial {c.serial}, ski {c.ski}, {c.not_before} to {c.not_after}: {one.verdict}. {one.why}",
                indent="  ",
            )


def _remark_lines(made: Bundle, position: Position) -> Iterator[str]:
    for remark in made.remarks:
        yield from wrapped(remark)
    unproven = f", UNPROVEN since {position.unproven.since}" if position.unproven else ""
    yield from wrapped(f"Path ends at {made.anchor}. Mirror at position {position.day}{unproven}.")

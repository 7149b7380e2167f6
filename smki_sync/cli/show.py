"""``smki-sync show``: one subject's certificates.

For: the question that is asked all day. Refuses: to answer from anything but the mirror.
"""

from typing import Annotated

import typer

from smki_sync.cli import options
from smki_sync.cli.certificate_view import Asked, answer
from smki_sync.model.certificate import Usage


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("show")(show)


def show(
    identity: Annotated[
        str,
        typer.Argument(
            metavar="IDENTITY",
            help="An EUI-64; serial: in hex or decimal; ski:, sha1:, sha256: in hex; or a certificate file.",
        ),
    ],
    *,
    usage: Annotated[Usage | None, typer.Option(help="Only this key usage.", case_sensitive=False)] = None,
    role: Annotated[
        str | None, typer.Option(metavar="R", help="Only this Remote Party Role, by number or name.")
    ] = None,
    any_status: Annotated[
        bool, typer.Option("--any-status", help="Also what is not In-Use, or withdrawn.")
    ] = False,
    pem: Annotated[bool, typer.Option("--pem", help="The certificates in PEM.")] = False,
    der: Annotated[bool, typer.Option("--der", help="The certificate's octets; exactly one.")] = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Say step by step why each, of any status, is or is not usable.",
        ),
    ] = False,
    mirror: options.Mirror = None,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Show the certificates of one subject, In-Use only unless told otherwise.

    Exit code 10 when there is none.
    """
    asked = Asked(
        identity=identity,
        usage=usage,
        role=role,
        any_status=any_status,
        pem=pem,
        der=der,
        explain=explain,
        mirror=mirror,
        config=config,
        as_json=as_json,
    )
    raise typer.Exit(answer(asked))

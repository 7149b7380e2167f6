"""The command `serve`."""

import sys
from typing import Annotated

import typer

from smki_sync.cli.arguments import MirrorOptions, add_command, load_config
from smki_sync.cli.context import now_here
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.output import print_text
from smki_sync.config.loader import Config
from smki_sync.errors import ConfigError
from smki_sync.service.app import ServiceOptions, WebService
from smki_sync.service.keys import KeyFile, add_key
from smki_sync.service.mirror_reader import MirrorReader
from smki_sync.service.server import (
    ServerOptions,
    check_exposure,
    check_installed,
    parse_listen,
    serve,
)


def register_serve(app: typer.Typer) -> None:
    """Add the command."""
    add_command(
        app,
        "serve",
        serve_mirror,
        examples=("smki-sync serve --new-key billing", "smki-sync serve"),
    )


def serve_mirror(
    *,
    new_key: Annotated[
        str | None,
        typer.Option(
            "--new-key",
            metavar="NAME",
            help="Create a key, store its SHA-256 in serve.keys_file, print the key once, and exit.",
        ),
    ] = None,
    place: MirrorOptions,
) -> None:
    """Answer the Repository's web service and a JSON API.

    Answers come from the mirror. Needs the extra `smki-sync[serve]` and a key for each client. Listens on
    127.0.0.1:8083 by default; [serve] in the configuration file changes this. Runs until it is stopped.
    See docs/serve.md.
    """
    settings = load_config(place)
    if new_key is not None:
        _create_key(settings, new_key)
    else:
        _serve(settings)
    raise typer.Exit(Exit.OK)


def _create_key(settings: Config, name: str) -> None:
    path = settings.serve.keys_file
    if path is None:
        raise ConfigError(
            "serve.keys_file is not configured, so there is no file to store the key in.",
            hint='Write keys_file = "/etc/smki-sync/serve.keys" in the section [serve].',
            code="serve-keys",
        )
    print_text(add_key(path, name))
    sys.stderr.write(f"The key {name} is stored as SHA-256 in {path}. It is not shown again.\n")


def _serve(settings: Config) -> None:
    section = settings.serve
    check_installed()
    options = ServerOptions(
        address=parse_listen(section.listen),
        tls_certificate=section.tls_certificate,
        tls_key=section.tls_key,
    )
    check_exposure(options, behind_proxy=section.behind_proxy, accept_dcc_client=section.accept_boxed_key)
    if section.keys_file is None and not section.accept_boxed_key:
        raise ConfigError(
            "serve.keys_file is not configured, so no client could log in.",
            hint="Write keys_file in the section [serve], then run `smki-sync serve --new-key NAME`.",
            code="serve-keys",
        )
    reader = MirrorReader(settings.need_mirror(), stale_lists=settings.policy.stale_lists)
    keys = KeyFile(section.keys_file, accept_dcc_client=section.accept_boxed_key)
    answers = ServiceOptions(
        prefix=section.prefix,
        answer_when_behind_days=section.answer_when_behind_days,
        rate=section.rate,
    )
    service = WebService(reader, keys, answers, now_here)
    serve(service, reader, options, started=_print_started)


def _print_started(url: str) -> None:
    sys.stderr.write(f"Listening on {url}\n")
    sys.stderr.flush()

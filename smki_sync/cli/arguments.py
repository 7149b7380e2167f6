"""Options shared by commands, in blocks; certificate filters; registration of a command."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import typer

from smki_sync.cli import option_specs
from smki_sync.cli.certificate_view import link_in, parse_role
from smki_sync.cli.commands import COMMANDS
from smki_sync.cli.context import configure, now_here
from smki_sync.cli.option_specs import FILTER_PANEL, LOCATION_PANEL, OUTPUT_PANEL, OptionSpec
from smki_sync.config.file import LookupSettings, lookup_settings_here, mirror_here
from smki_sync.config.file import parse_path as parse_config_path
from smki_sync.config.loader import Config
from smki_sync.errors import UsageError
from smki_sync.mirror.queries import CertificateFilter, StatusFilter
from smki_sync.model.certificate import Kind
from smki_sync.model.certificate import Usage as KeyUsage


class LogFormatChoice(StrEnum):
    """Format of log output on stderr."""

    TEXT = "text"
    JSON = "json"


def parse_path(text: str) -> Path:
    """Return a path. The command reports a path that does not exist or may not be read."""
    try:
        return parse_config_path(text)
    except ValueError:
        raise typer.BadParameter("The path must be UTF-8 text and not empty.") from None


def option(spec: OptionSpec, **more: Any) -> Any:  # noqa: ANN401 - typer's own signature
    """Return the typer option of a specification."""
    if spec.read is parse_config_path:
        more["parser"] = parse_path
    return typer.Option(spec.name, metavar=spec.metavar, help=spec.help, rich_help_panel=spec.panel, **more)


Mirror = Annotated[Path | None, option(option_specs.MIRROR)]
ConfigFile = Annotated[Path | None, option(option_specs.CONFIG)]
Json = Annotated[bool, option(option_specs.JSON)]
AnyStatus = Annotated[bool, option(option_specs.ANY_STATUS)]
Usage = Annotated[KeyUsage | None, option(option_specs.USAGE, case_sensitive=False)]
Role = Annotated[str | None, option(option_specs.ROLE)]
Source = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="URL",
        help="Source of extracts: sftp://user@host:port/path or file:///directory.",
        rich_help_panel=LOCATION_PANEL,
    ),
]
IdentityFile = Annotated[
    Path | None,
    typer.Option(
        "--identity-file",
        metavar="FILE",
        help="Private key for the login.",
        parser=parse_path,
        rich_help_panel=LOCATION_PANEL,
    ),
]
KnownHosts = Annotated[
    Path | None,
    typer.Option(
        "--known-hosts",
        metavar="FILE",
        help="File of pinned host keys.",
        parser=parse_path,
        rich_help_panel=LOCATION_PANEL,
    ),
]
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)\s?([kKmMgG]?)B?(?:/s)?")
_RATE_UNITS: Final = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}


def parse_rate(text: str | int) -> int:
    """Parse a rate in bytes per second: a number, or a number with the unit k, M or G (powers of 1000)."""
    found = _RATE.fullmatch(str(text).strip())
    rate = Decimal(found[1]) * _RATE_UNITS[found[2].lower()] if found else Decimal(-1)
    if rate < 0 or rate != int(rate):
        raise typer.BadParameter("Write bytes per second, for example 6000000, 600k or 6M.")
    return int(rate)


Bandwidth = Annotated[
    int | None,
    typer.Option(
        "--bandwidth",
        metavar="RATE",
        parser=parse_rate,
        help="Maximum download rate in bytes per second, for example 6M (6,000,000); 0 = unlimited.",
        rich_help_panel=LOCATION_PANEL,
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Only print warnings.", rich_help_panel=OUTPUT_PANEL)
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print every detail.", rich_help_panel=OUTPUT_PANEL)
]
LogFormat = Annotated[
    LogFormatChoice | None,
    typer.Option("--log-format", help="Format of log output on stderr.", rich_help_panel=OUTPUT_PANEL),
]
MaxAge = Annotated[
    float | None,
    typer.Option(
        "--max-age",
        metavar="HOURS",
        min=0,
        help="Report the mirror as stale if it is older than this many hours.",
        show_default="policy.late_after_days and one day more",
    ),
]
Kinds = Annotated[
    list[Kind] | None,
    typer.Option(
        "--kind", help="Only this kind; may be repeated.", case_sensitive=False, rich_help_panel=FILTER_PANEL
    ),
]
Statuses = Annotated[
    list[str] | None,
    typer.Option(
        "--status",
        metavar="S",
        help="Only this status: P, I, N, E, R, its name, or withdrawn; may be repeated.",
        rich_help_panel=FILTER_PANEL,
    ),
]
Issuer = Annotated[
    str | None,
    typer.Option(
        "--issuer",
        metavar="NAME",
        help="Only this issuer: its name or a part of it.",
        rich_help_panel=FILTER_PANEL,
    ),
]
ChangedSince = Annotated[
    str | None,
    typer.Option(
        "--changed-since",
        metavar="DATE",
        help="Only certificates added or changed by an extract of this date or later.",
        rich_help_panel=FILTER_PANEL,
    ),
]
ExpiringWithin = Annotated[
    int | None,
    typer.Option(
        "--expiring-within",
        metavar="DAYS",
        min=0,
        max=36_500,
        help="Only certificates that expire within DAYS days or have already expired.",
        rich_help_panel=FILTER_PANEL,
    ),
]


Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="NAMES",
        help="Columns of the table, separated by commas (default: those that fit the question).",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
Mine = Annotated[
    bool,
    typer.Option(
        "--mine", help="Only certificates of the parties in party.euis.", rich_help_panel=FILTER_PANEL
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionBlock:
    """A block of options; as the type of one parameter it stands for all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorOptions(OptionBlock):
    """Which mirror."""

    mirror: Mirror = None
    config: ConfigFile = None

    def link(self) -> Path:
        """Return the path of the current mirror, without reading the whole configuration."""
        return link_in(mirror_here(mirror=self.mirror, config=self.config))

    def lookup(self) -> LookupSettings:
        """Return the settings of a lookup, without reading the whole configuration."""
        return lookup_settings_here(mirror=self.mirror, config=self.config)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions(OptionBlock):
    """Which mirror and which source of extracts."""

    mirror: Mirror = None
    source: Source = None
    identity_file: IdentityFile = None
    known_hosts: KnownHosts = None
    bandwidth: Bandwidth = None
    config: ConfigFile = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions(OptionBlock):
    """What is printed, and how."""

    as_json: Json = False
    quiet: Quiet = False
    verbose: Verbose = False
    log_format: LogFormat = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterOptions(OptionBlock):
    """Which certificates."""

    kinds: Kinds = None
    statuses: Statuses = None
    any_status: AnyStatus = False
    usage: Usage = None
    role: Role = None
    issuer: Issuer = None
    changed_since: ChangedSince = None
    expiring_within: ExpiringWithin = None

    def certificate_filter(self, today: date) -> CertificateFilter:
        """Return the filter; raises :class:`UsageError` for a value that cannot be read."""
        if self.any_status and self.statuses:
            raise UsageError("Use only one of --any-status and --status.")
        since, days = self.changed_since, self.expiring_within
        return CertificateFilter(
            kinds=tuple(self.kinds or ()),
            standings=tuple(map(_status_filter, self.statuses or ())),
            any_status=self.any_status,
            usage=self.usage,
            role=parse_role(self.role),
            issuer=self.issuer,
            changed_since=None if since is None else parse_date("--changed-since", since),
            ends_before=None if days is None else _midnight_after(today, days),
        )


_NOT_CONFIGURED: Final = {"as_json", "quiet", "verbose"}
"""Options that have no key in the configuration."""


def load_config(*blocks: MirrorOptions | SourceOptions | OutputOptions) -> Config:
    """Load the configuration; the options of the blocks replace its values."""
    given = {field.name: getattr(block, field.name) for block in blocks for field in fields(block)}
    return configure(**{name: value for name, value in given.items() if name not in _NOT_CONFIGURED})


def add_command(
    app: typer.Typer, name: str, command: Callable[..., None], *, examples: tuple[str, ...]
) -> None:
    """Register a command in its help group, with examples at the end of its help."""
    info = COMMANDS.get(name)
    app.command(name, rich_help_panel=info.group if info else None, epilog=examples_text(examples))(
        expand_blocks(command)
    )


EXAMPLES_HEADING: Final = "Examples:"


def examples_text(examples: tuple[str, ...]) -> str:
    """Return the end of a help text, one example per line."""
    return "\n  ".join((EXAMPLES_HEADING, *examples))


def expand_blocks(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with its blocks replaced by their options, which is what typer reads."""
    hints = get_type_hints(command, include_extras=True)
    blocks = {name: kind for name, kind in hints.items() if _is_block(kind)}

    @wraps(command)
    def expanded(**given: Any) -> None:  # noqa: ANN401 - the values of all options
        packed = {
            name: kind(**{field.name: given.pop(field.name) for field in fields(kind)})
            for name, kind in blocks.items()
        }
        command(**given, **packed)

    parameters = list(_parameters(command, hints, blocks))
    vars(expanded)["__signature__"] = Signature(parameters)
    expanded.__annotations__ = {one.name: one.annotation for one in parameters}
    return expanded


def _is_block(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, OptionBlock)


def _parameters(
    command: Callable[..., None], hints: dict[str, Any], blocks: dict[str, Any]
) -> Iterator[Parameter]:
    for one in signature(command).parameters.values():
        if one.name not in blocks:
            yield one.replace(annotation=hints[one.name])
            continue
        annotations = get_type_hints(blocks[one.name], include_extras=True)
        for field in fields(blocks[one.name]):
            yield Parameter(
                field.name,
                Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=annotations[field.name],
            )


_EPOCH: Final = date(1970, 1, 1).toordinal()
_DAY_SECONDS: Final = 86_400
_STATUS_WORDS: Final = {
    word.upper(): status for status in StatusFilter for word in (status.value, status.name.replace("_", "-"))
}


def _midnight_after(today: date, days: int) -> int:
    """Return the end of the day that is ``days`` days after today, in seconds since 1970, UTC."""
    return (today.toordinal() + days + 1 - _EPOCH) * _DAY_SECONDS


_DAYS_AGO: Final = {"today": 0, "yesterday": 1}


def _relative_date(text: str) -> date | None:
    """Return the date, UTC, that ``today`` or ``yesterday`` names; ``None`` for any other text."""
    days = _DAYS_AGO.get(text.lower())
    return None if days is None else now_here().date() - timedelta(days=days)


def parse_date(name: str, text: str) -> date:
    """Parse the value of the option ``name``: YYYY-MM-DD, ``today`` or ``yesterday``."""
    if relative := _relative_date(text):
        return relative
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a date has no time zone
    except ValueError as exc:
        raise UsageError(
            f"{name}: {text!r:.40} is not a date.", hint="Write YYYY-MM-DD, today or yesterday."
        ) from exc


def parse_time(text: str) -> datetime:
    """Parse a date (its first moment), ``today``, ``yesterday``, or a time in ISO 8601; UTC by default."""
    if relative := _relative_date(text):
        return datetime.combine(relative, time(), tzinfo=UTC)
    try:
        if len(text) == len("YYYY-MM-DD"):
            return datetime.combine(date.fromisoformat(text), time(), tzinfo=UTC)
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise UsageError(
            f"Invalid time: {text!r:.40}.", hint="Write 2026-11-22, 2026-11-22T07:30:00Z, today or yesterday."
        ) from exc
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _status_filter(text: str) -> StatusFilter:
    found = _STATUS_WORDS.get(text.upper().replace("_", "-").replace(" ", "-"))
    if found is None:
        raise UsageError(
            f"--status: {text!r:.40} is not a status.",
            hint="Use P, I, N, E, R, or pending, in-use, not-in-use, expired, revoked, withdrawn.",
        )
    return found

"""From options to a job: what the commands that work on a mirror have in common.

For: ``sync`` and every later deed. Refuses: to know what the deed does.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Final

from smki_sync.cli.talk import Talk, Volume, talk_on
from smki_sync.config import Config, load_here
from smki_sync.errors import ConfigError
from smki_sync.events import Listener
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.sources import SftpLogin, Source, open_source
from smki_sync.sync import Job

TODAY_VARIABLE: Final = "SMKI_SYNC_TODAY"
"""For rehearsals on a simulated repository: the date to judge lateness and the window by."""


def today_here(environ: Mapping[str, str] = os.environ) -> date:
    """The date in UTC, or the one that a rehearsal sets."""
    given = environ.get(TODAY_VARIABLE)
    if not given:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(given)
    except ValueError as exc:
        raise ConfigError(f"{TODAY_VARIABLE} is no date: write YYYY-MM-DD") from exc


@contextmanager
def talking(config: Config, *, quiet: bool, verbose: bool) -> Iterator[Talk]:
    """Talk on stderr for the length of a deed."""
    volume = Volume.VERBOSE if verbose else Volume.QUIET if quiet else Volume.NORMAL
    with talk_on(sys.stderr, form=config.log.format, volume=volume) as talk:
        yield talk


def configure(**options: object) -> Config:
    """The configuration for this process; an option that was not given is ``None``."""
    return load_here({name: value for name, value in options.items() if value is not None})


def job_of(config: Config, hear: Listener) -> Job:
    """The job that a configuration describes, today."""
    config.need_url()
    return Job(
        directory=MirrorDirectory(config.need_mirror()),
        open_source=lambda: source_of(config, hear),
        today=today_here(),
        names=config.repository.names(),
        policy=config.policy.rules(),
        limits=config.reader_limits(),
        keep_previous=config.mirror.keep_previous,
        hear=hear,
    )


def source_of(config: Config, hear: Listener) -> Source:
    """The configured source, not yet entered."""
    repository, secrets = config.repository, config.secrets()
    login = SftpLogin(
        known_hosts=repository.known_hosts,
        identity_file=repository.identity_file,
        password=secrets.password,
        key_passphrase=secrets.key_passphrase,
        allow_agent=repository.allow_agent,
    )
    return open_source(config.need_url(), login=login, limits=config.limits.of_source(), hear=hear)

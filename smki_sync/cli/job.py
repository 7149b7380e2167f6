"""From options to a job: what the commands that work on a mirror have in common.

For: ``sync`` and every later deed. Refuses: to know what the deed does.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from smki_sync.cli.context import now_here
from smki_sync.cli.talk import Talk, Volume, talk_on
from smki_sync.config.whole import Config
from smki_sync.download import (
    BY_ITSELF,
    CarefulSource,
    LoginMemory,
    Opening,
    PatientSource,
    Retry,
    Ring,
    Terms,
)
from smki_sync.download.archive import Archive
from smki_sync.events import Listener
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.logins import Logins
from smki_sync.sources.address import SftpAddress, parse_address
from smki_sync.sources.base import OpenSource, Source
from smki_sync.sources.login import SftpLogin
from smki_sync.sync import Job


@contextmanager
def talking(config: Config, *, quiet: bool, verbose: bool) -> Iterator[Talk]:
    """Talk on stderr for the length of a deed."""
    volume = Volume.VERBOSE if verbose else Volume.QUIET if quiet else Volume.NORMAL
    with talk_on(sys.stderr, form=config.log.format, volume=volume) as talk:
        yield talk


def job_of(config: Config, hear: Listener) -> Job:
    """The job that a configuration describes, today."""
    config.need_url()
    ring = ring_of(config, hear)
    return Job(
        directory=MirrorDirectory(config.need_mirror()),
        open_source=ring.open if ring else lambda: source_of(config, hear),
        ring=ring,
        archive=archive_of(config),
        today=now_here().date(),
        names=config.repository.names(),
        policy=config.policy.rules(),
        agreement=config.policy.agreement(),
        limits=config.reader_limits(),
        lists=config.lists(),
        terms=terms_of(config),
        overlap_bytes=config.repository.overlap_bytes,
        bounds=config.policy.bounds(),
        check_inner_names=config.policy.check_inner_names,
        repair_damage=config.policy.repair_damage,
        keep_previous=config.mirror.keep_previous,
        keep_changes_days=config.mirror.keep_changes_days,
        index_devices=config.mirror.index_devices,
        verify=config.policy.verify,
        anchors=config.trust.read_anchors(),
        hear=hear,
    )


def terms_of(config: Config) -> Terms:
    """The configured terms on which files are fetched."""
    repository, retry = config.repository, config.retry
    return Terms(
        retry=Retry(
            attempts=retry.attempts,
            first_pause=retry.first_pause_seconds,
            factor=retry.factor,
            longest_pause=retry.longest_pause_seconds,
            jitter=retry.jitter,
        ),
        young=repository.settle_seconds,
        changing=repository.changing_seconds,
        bandwidth=repository.bandwidth_limit,
        # With several sources nobody knows beforehand which of them a second session would be with.
        second=None if repository.parallel == 1 or repository.fallbacks else lambda: opening_of(config),
    )


def source_of(config: Config, hear: Listener, url: str | None = None) -> Source:
    """The configured source, or another, not yet entered; it repeats no login refused a while ago."""
    source, memory = opening_of(config, url).heard_by(hear), login_memory_of(config, url=url)
    return CarefulSource(source, memory=memory) if memory else source


def login_memory_of(config: Config, *, url: str | None = None, most: int = BY_ITSELF) -> LoginMemory | None:
    """What is remembered of refused logins; ``None`` for a source without a login."""
    address = parse_address(url or config.need_url())
    if not isinstance(address, SftpAddress):
        return None
    return LoginMemory(
        logins=Logins(MirrorDirectory(config.need_mirror()).history),
        account=f"{address.user}@{address.peer}",
        lockout=timedelta(minutes=config.policy.login_lockout_minutes),
        clock=now_here,
        most=most,
    )


def ring_of(config: Config, hear: Listener) -> Ring | None:
    """The configured source and its fallbacks, where there are any."""

    def patient(opener: OpenSource) -> OpenSource:
        return lambda: PatientSource(opener, terms=terms_of(config), hear=hear)

    def fallback(url: str) -> OpenSource:
        return lambda: source_of(config, hear, url)

    if not config.repository.fallbacks:
        return None
    openers = [lambda: source_of(config, hear), *map(fallback, config.repository.fallbacks)]
    return Ring(openers=[patient(opener) for opener in openers])


def archive_of(config: Config) -> Archive | None:
    """The configured archive."""
    if config.archive.path is None:
        return None
    return Archive(
        path=config.archive.path,
        keep_fulls=config.archive.keep_fulls,
        names=config.repository.names(),
        overlap_days=config.policy.full_overlap_days,
    )


def opening_of(config: Config, url: str | None = None) -> Opening:
    """How to open the configured source, or another with the same login; reads the secrets."""
    repository, secrets = config.repository, config.secrets()
    login = SftpLogin(
        known_hosts=repository.known_hosts,
        identity_file=repository.identity_file,
        password=secrets.password,
        key_passphrase=secrets.key_passphrase,
        allow_agent=repository.allow_agent,
        legacy_algorithms=repository.legacy_algorithms,
    )
    return Opening(url=url or config.need_url(), login=login, limits=config.limits.of_source())

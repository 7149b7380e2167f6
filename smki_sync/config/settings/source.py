"""``[repository]`` and ``[retry]``: where extracts come from, and how patiently they are fetched.

For: the source and the downloads. Refuses: a secret; it is never a key.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from smki_sync.catalogue import Names
from smki_sync.config.settings.about import WEEK, About
from smki_sync.sources.algorithms import LegacyAlgorithm

_NAMES = Names()


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """``[repository]``: where extracts come from and how to log in. A secret is never a key here."""

    url: Annotated[
        str | None,
        About(
            meaning="Where extracts come from: `sftp://user@host:port/path` or `file:///directory`.",
            example="sftp://party@smki.example:22/extracts",
        ),
    ] = None
    fallbacks: Annotated[
        tuple[str, ...],
        About(
            meaning="Further sources, tried in order for what the first does not offer: archives, such as"
            " `file:///directory`. Logins are as for the first."
        ),
    ] = ()
    identity_file: Annotated[
        Path | None, About(meaning="Private key for the login.", example="id_ed25519")
    ] = None
    known_hosts: Annotated[
        Path | None,
        About(
            meaning="Host keys that are trusted, in OpenSSH's format. SFTP needs it.", example="known_hosts"
        ),
    ] = None
    password_file: Annotated[
        Path | None,
        About(meaning="File that holds the password, readable by its owner alone.", example="password"),
    ] = None
    allow_agent: Annotated[bool, About(meaning="Whether keys of an SSH agent are offered too.")] = False
    legacy_algorithms: Annotated[
        tuple[LegacyAlgorithm, ...],
        About(meaning="Old ciphers and MACs to offer too, where a server has no better ones."),
    ] = ()
    full_name: Annotated[str, About(meaning="Name of a full; `{date}` is YYYY-MM-DD.")] = _NAMES.full
    delta_name: Annotated[str, About(meaning="Name of a delta; `{date}` is YYYY-MM-DD.")] = _NAMES.delta
    companion_names: Annotated[
        tuple[str, ...],
        About(meaning="Patterns of files that are no extracts and no surprise: ARL, CRL, anchor slots."),
    ] = _NAMES.companions
    arl_name: Annotated[str, About(meaning="Pattern of the Organisation ARL's name.")] = _NAMES.arl
    crl_name: Annotated[str, About(meaning="Pattern of the Organisation CRL's name.")] = _NAMES.crl
    slot_names: Annotated[
        tuple[str, ...],
        About(meaning="Patterns of the anchor-slot files; `{region}` stands for the region."),
    ] = _NAMES.slots

    parallel: Annotated[
        int,
        About(
            meaning="In how many sessions the halves of a large file are fetched side by side; the server may"
            " count sessions.",
            unit="sessions",
            low=1,
            high=2,
        ),
    ] = 1
    bandwidth_limit: Annotated[
        int, About(meaning="Most bytes fetched in a second; 0 is without limit.", unit="bytes", low=0)
    ] = 0
    settle_seconds: Annotated[
        float,
        About(
            meaning="A file that changed less long ago is looked at once more after it was fetched.",
            unit="seconds",
            low=0,
            high=WEEK,
        ),
    ] = 600.0
    changing_seconds: Annotated[
        float,
        About(meaning="Longest wait for a file that is changing.", unit="seconds", low=0, high=WEEK),
    ] = 300.0

    overlap_bytes: Annotated[
        int,
        About(
            meaning="A full of so many bytes or more is loaded while it is still being fetched; 0: none is.",
            unit="bytes",
            low=0,
        ),
    ] = 4 << 20

    def names(self) -> Names:
        """Give what the catalogue asks for; raises ``ValueError`` for a template that names no extract."""
        return Names(
            full=self.full_name,
            delta=self.delta_name,
            companions=self.companion_names,
            arl=self.arl_name,
            crl=self.crl_name,
            slots=self.slot_names,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySettings:
    """``[retry]``: how patient a run is with a repository that drops out. A refusal is never tried again."""

    attempts: Annotated[
        int,
        About(meaning="Attempts in a row without progress before a run gives up.", low=1, high=100),
    ] = 6
    first_pause_seconds: Annotated[
        float, About(meaning="Pause after the first failure.", unit="seconds", low=0, high=WEEK)
    ] = 5.0
    factor: Annotated[float, About(meaning="Each next pause is so many times longer.", low=1, high=10)] = 3.0
    longest_pause_seconds: Annotated[
        float, About(meaning="Longest pause.", unit="seconds", low=0, high=WEEK)
    ] = 300.0
    jitter: Annotated[
        float, About(meaning="Share by which a pause is drawn longer or shorter.", low=0, high=1)
    ] = 0.2

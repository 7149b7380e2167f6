"""How to open the repository, as a value that another process can be given.

For: a second session from a second process. Refuses: to stand on a command line or in the environment: it
holds secrets, and travels through a pipe.
"""

from dataclasses import dataclass

from smki_sync.events import Listener, Silence
from smki_sync.sources.base import Limits, Source
from smki_sync.sources.login import SftpLogin
from smki_sync.sources.opening import open_source


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """``url``, ``login`` and ``limits`` as :func:`~smki_sync.sources.opening.open_source` wants them."""

    url: str
    login: SftpLogin
    limits: Limits

    def __call__(self) -> Source:
        """Make a source that says nothing; it is not yet entered."""
        return self.heard_by(Silence())

    def heard_by(self, hear: Listener) -> Source:
        """Make a source that says what it negotiates."""
        return open_source(self.url, login=self.login, limits=self.limits, hear=hear)

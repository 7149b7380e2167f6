"""Who may come in to the simulated repository, and what may be asked for there.

For: :mod:`.server`, one door for all callers and one desk for each. Refuses: to write, and to show more than
:class:`~smki_sync.simulator.shown.Shown` does.
"""

import hmac
import os
import weakref
from pathlib import Path

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_SUCCEEDED,
)
from paramiko.sftp import SFTP_NO_SUCH_FILE, SFTP_PERMISSION_DENIED

from smki_sync.simulator.shown import Shown

USER = "party"


class Door(paramiko.ServerInterface):
    """Who may come in: one user, by one key, or by a password if there is one."""

    def __init__(self, *, accepts: paramiko.PKey, password: str | None) -> None:
        """``accepts``: the one key. ``password``: lets in too, where there is one."""
        self._accepts = accepts
        self._password = password

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002  the protocol's signature
        """By key, and by password where there is one."""
        return "publickey" if self._password is None else "publickey,password"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        """The one user with the one key."""
        return _verdict(username == USER and key.asbytes() == self._accepts.asbytes())

    def check_auth_password(self, username: str, password: str) -> int:
        """The one user with the password."""
        wanted = self._password
        right = wanted is not None and hmac.compare_digest(password.encode(), wanted.encode())
        return _verdict(username == USER and right)

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002  the protocol's signature
        """Sessions alone, nothing that is forwarded."""
        is_session = kind == "session"
        return OPEN_SUCCEEDED if is_session else OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED


def _verdict(accepted: bool) -> int:
    return AUTH_SUCCESSFUL if accepted else AUTH_FAILED


class Desk(paramiko.SFTPServerInterface):
    """What may be asked for: listings, attributes and contents; every write is refused."""

    def __init__(self, server: paramiko.ServerInterface, shown: Shown) -> None:
        """``shown``: what callers see of the directory."""
        super().__init__(server)
        self._shown = shown

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
        """What a directory shows."""
        folder = self._shown.find(path)
        if folder is None or not folder.is_dir():
            return SFTP_NO_SUCH_FILE
        found = ((name, self.stat(f"{path}/{name}")) for name in self._shown.names(folder))
        return [_named(name, attributes) for name, attributes in found if not isinstance(attributes, int)]

    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        """What a file is like."""
        real = self._shown.find(path)
        if real is None:
            return SFTP_NO_SUCH_FILE
        try:
            return paramiko.SFTPAttributes.from_stat(real.stat(), real.name)
        except OSError as exc:  # removed this instant
            return paramiko.SFTPServer.convert_errno(exc.errno or 0)

    def lstat(self, path: str) -> paramiko.SFTPAttributes | int:
        """The same: no link is shown."""
        return self.stat(path)

    def open(
        self,
        path: str,
        flags: int,
        attr: paramiko.SFTPAttributes,  # noqa: ARG002  the protocol's signature
    ) -> paramiko.SFTPHandle | int:
        """A file, to be read."""
        if flags & ~os.O_RDONLY:
            return SFTP_PERMISSION_DENIED
        real = self._shown.find(path)
        if real is None or not real.is_file():
            return SFTP_NO_SUCH_FILE
        try:
            return _Reading(real)
        except OSError as exc:
            return paramiko.SFTPServer.convert_errno(exc.errno or 0)


class _Reading(paramiko.SFTPHandle):
    """A file open for reading; keeps its bytes when the name is published anew meanwhile."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.readfile = path.open("rb")  # the base class reads from it and closes it
        weakref.finalize(self, self.readfile.close)  # a caller who is cut off closes nothing

    def stat(self) -> paramiko.SFTPAttributes | int:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))


def _named(name: str, attributes: paramiko.SFTPAttributes) -> paramiko.SFTPAttributes:
    """A line of a listing under the name that stands in the directory."""
    attributes.filename = name
    return attributes

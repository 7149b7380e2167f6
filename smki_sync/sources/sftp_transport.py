"""The library's connection, with our packets, and logging in as the protocol has it.

For: asking once for the service of logging in (RFC 4253, 10). The library's plain connection asks before
each step, which asyncssh takes for a breach of protocol; its other one asks once, misses answers that come
fast, and waits for ever for those that do not come. Refuses: to wait longer than ``auth_timeout``.
"""

import socket
import threading
import time
from collections.abc import Callable

import paramiko
from paramiko.auth_handler import AuthOnlyHandler
from paramiko.common import cMSG_SERVICE_REQUEST, cMSG_USERAUTH_REQUEST
from paramiko.message import Message
from paramiko.transport import ServiceRequestingTransport

from smki_sync.sources.ssh_transport import Line, line_of

_POLL = 0.02
"""Seconds between looks at a connection while an answer is waited for."""


class Connection(ServiceRequestingTransport):
    """An SSH connection over a :class:`~smki_sync.sources.sftp_line.Line`."""

    def __init__(self, line: socket.socket) -> None:
        """Wrap a connected socket; nothing is sent yet."""
        super().__init__(line, packetizer_class=Line)

    def ensure_session(self) -> None:
        """Wait, as long as ``auth_timeout`` says, until the server lets us log in."""
        if line_of(self).login_open.is_set():
            return
        question = Message()
        question.add_byte(cMSG_SERVICE_REQUEST)
        question.add_string("ssh-userauth")
        self.packetizer.send_message(question)
        deadline = time.monotonic() + self.auth_timeout
        while not line_of(self).login_open.wait(_POLL):
            if not self.is_active() or time.monotonic() >= deadline:
                raise paramiko.AuthenticationException("no answer to the wish to log in")
        self.auth_handler = self.get_auth_handler()

    def get_auth_handler(self) -> AuthOnlyHandler:
        """Make what the steps of the login go through."""
        return _Login(self)


class _Login(AuthOnlyHandler):
    """One step of a login at a time. An answer is waited for from before the question goes out."""

    def send_auth_request(
        self, username: str, method: str, finish_message: Callable[[Message], object] | None = None
    ) -> list[str]:
        """Ask to be let in by a method; gives the methods that are still wanted, empty when we are in."""
        self.auth_method = method
        self.username = username
        self.auth_event = event = threading.Event()
        question = Message()
        question.add_byte(cMSG_USERAUTH_REQUEST)
        for word in (username, "ssh-connection", method):
            question.add_string(word)
        if finish_message:
            finish_message(question)
        with self.transport.lock:
            self.transport.packetizer.send_message(question)
        return self.wait_for_response(event)

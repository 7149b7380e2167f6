"""The private methods of paramiko on which the transfer stands: these tests fail when they move."""

import inspect

import paramiko
from paramiko.message import Message


def test_the_private_methods_have_the_signatures_that_the_session_uses() -> None:
    request = inspect.signature(paramiko.SFTPClient._async_request)  # type: ignore[attr-defined]  # private
    response = inspect.signature(paramiko.SFTPClient._read_response)  # type: ignore[attr-defined]  # private
    assert str(request) == "(self, fileobj, t, *args)"
    assert str(response) == "(self, waitfor=None)"


def test_a_reply_is_handed_to_the_object_given_with_its_request() -> None:
    """The whole life of one request, on a wire that a test can read."""

    class Wire:
        def __init__(self) -> None:
            self.sent = b""
            self.coming = bytes([0, 0, 0, 5, 2, 0, 0, 0, 3])  # VERSION 3

        def send(self, data: bytes) -> int:
            self.sent += data
            return len(data)

        def recv(self, size: int) -> bytes:
            piece, self.coming = self.coming[:size], self.coming[size:]
            return piece

        def get_name(self) -> str:
            return "wire"

    class Inbox:
        def __init__(self) -> None:
            self.got: list[tuple[int, int, bytes]] = []

        def _async_response(self, kind: int, message: Message, number: int) -> None:
            self.got.append((kind, number, message.get_remainder()))

    wire, inbox = Wire(), Inbox()
    client = paramiko.SFTPClient(wire)  # type: ignore[arg-type]  # anything with send, recv and get_name serves
    wire.sent = b""
    number = client._async_request(inbox, 5, b"h", paramiko.sftp.int64(1 << 40), 9)  # type: ignore[attr-defined]
    assert wire.sent.hex() == f"0000001605{number:08x}0000000168" + "0000010000000000" + "00000009"
    wire.coming = bytes.fromhex(f"0000000a67{number:08x}") + b"\0\0\0\1x"
    client._read_response()  # type: ignore[attr-defined]  # private
    assert inbox.got == [(103, number, b"\0\0\0\1x")]
    wire.coming = bytes.fromhex(f"0000000a67{number:08x}") + b"\0\0\0\1x"
    client._read_response()  # type: ignore[attr-defined]  # private
    assert len(inbox.got) == 1, "a second reply to the same request is handed to nobody"

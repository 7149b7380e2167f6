"""Limits of the packetizer: counts and sizes that a server states."""

import socket
from collections.abc import Iterator

import paramiko
import pytest
from paramiko.common import (
    MSG_CHANNEL_DATA,
    MSG_DISCONNECT,
    MSG_EXT_INFO,
    MSG_USERAUTH_BANNER,
    MSG_USERAUTH_INFO_REQUEST,
)
from paramiko.message import Message
from paramiko.packet import Packetizer

from smki_sync.sources.ssh_transport import (
    LONGEST_LINE,
    LONGEST_PACKET,
    MAX_EXTENSIONS,
    MAX_PROMPTS,
    MAX_UNREAD_BYTES,
    BoundedPacketizer,
)


@pytest.fixture
def packetizer() -> Iterator[BoundedPacketizer]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield BoundedPacketizer(ours)


def receive(
    packetizer: BoundedPacketizer, monkeypatch: pytest.MonkeyPatch, kind: int, message: Message
) -> Message:
    message.rewind()
    monkeypatch.setattr(Packetizer, "read_message", lambda _self: (kind, message))
    return packetizer.read_message()[1]


def info_request(prompts: int) -> Message:
    message = Message()
    for text in ("title", "instructions\n", "en"):
        message.add_string(text)
    message.add_int(prompts)
    for _ in range(min(prompts, MAX_PROMPTS)):
        message.add_string("Prompt:")
        message.add_boolean(False)
    return message


@pytest.mark.parametrize(
    ("count", "accepted"), [(MAX_EXTENSIONS, True), (MAX_EXTENSIONS + 1, False), (2**32 - 1, False)]
)
def test_extensions_are_bounded(
    packetizer: BoundedPacketizer, monkeypatch: pytest.MonkeyPatch, count: int, accepted: bool
) -> None:
    message = Message()
    message.add_int(count)
    if accepted:
        assert receive(packetizer, monkeypatch, MSG_EXT_INFO, message).get_int() == count
    else:
        with pytest.raises(paramiko.SSHException, match="too many extensions"):
            receive(packetizer, monkeypatch, MSG_EXT_INFO, message)


@pytest.mark.parametrize(
    ("count", "accepted"), [(0, True), (MAX_PROMPTS, True), (MAX_PROMPTS + 1, False), (2**32 - 1, False)]
)
def test_prompts_are_bounded(
    packetizer: BoundedPacketizer, monkeypatch: pytest.MonkeyPatch, count: int, accepted: bool
) -> None:
    if accepted:
        receive(packetizer, monkeypatch, MSG_USERAUTH_INFO_REQUEST, info_request(count))
        assert packetizer.login_text.startswith("title instructions")
    else:
        with pytest.raises(paramiko.SSHException, match="prompts in one request"):
            receive(packetizer, monkeypatch, MSG_USERAUTH_INFO_REQUEST, info_request(count))


@pytest.mark.parametrize("kind", [MSG_USERAUTH_BANNER, MSG_DISCONNECT])
def test_texts_of_server_are_short_and_printable(
    packetizer: BoundedPacketizer, monkeypatch: pytest.MonkeyPatch, kind: int
) -> None:
    message = Message()
    if kind == MSG_DISCONNECT:
        message.add_int(2)
    message.add_string("bell\x07 " + "x" * 100_000)
    receive(packetizer, monkeypatch, kind, message)
    text = packetizer.disconnect.text if packetizer.disconnect else packetizer.login_text
    assert text.startswith("bell? xxx")
    assert len(text) == 200


def test_unread_data_is_bounded(packetizer: BoundedPacketizer, monkeypatch: pytest.MonkeyPatch) -> None:
    packetizer.unread = lambda: MAX_UNREAD_BYTES
    receive(packetizer, monkeypatch, MSG_CHANNEL_DATA, Message())
    packetizer.unread = lambda: MAX_UNREAD_BYTES + 1
    with pytest.raises(paramiko.SSHException, match="more data than"):
        receive(packetizer, monkeypatch, MSG_CHANNEL_DATA, Message())


def test_packets_and_first_lines_are_bounded() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        packetizer = BoundedPacketizer(ours)
        with pytest.raises(paramiko.SSHException, match="a packet of"):
            packetizer.read_all(LONGEST_PACKET + 1)
        theirs.sendall(b"x" * (LONGEST_LINE + 10))
        with pytest.raises(paramiko.SSHException, match="a first line of more than"):
            packetizer.readline(1.0)

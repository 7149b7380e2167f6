"""The undocumented parts of paramiko in use: these tests fail when they change."""

import inspect

import paramiko
from paramiko.packet import Packetizer
from paramiko.transport import ServiceRequestingTransport


def test_paramiko_transport_accepts_packetizer_class() -> None:
    assert "packetizer_class" in inspect.signature(paramiko.Transport).parameters


def test_paramiko_reads_packets_through_bounded_methods() -> None:
    assert str(inspect.signature(Packetizer.read_all)) == "(self, n, check_rekey=False)"
    assert str(inspect.signature(Packetizer.readline)) == "(self, timeout)"
    assert str(inspect.signature(Packetizer.read_message)) == "(self)"
    assert "self.read_all(" in inspect.getsource(Packetizer.read_message)
    assert "__socket" not in inspect.getsource(Packetizer.read_message)


def test_paramiko_transport_has_the_attributes_in_use() -> None:
    attributes = inspect.getsource(paramiko.Transport.__init__)
    for name in ("remote_cipher", "remote_mac", "clear_to_send", "clear_to_send_timeout"):
        assert f"self.{name} =" in attributes


def test_paramiko_login_goes_through_replaced_methods() -> None:
    handler = paramiko.auth_handler.AuthOnlyHandler
    for step in (handler.auth_none, handler.auth_publickey, handler.auth_password, handler.auth_interactive):
        assert "self.send_auth_request(" in inspect.getsource(step)
    for name in ("auth_none", "auth_publickey", "auth_password", "auth_interactive"):
        assert "self.ensure_session()" in inspect.getsource(getattr(ServiceRequestingTransport, name))
    assert str(inspect.signature(handler.wait_for_response)) == "(self, event)"

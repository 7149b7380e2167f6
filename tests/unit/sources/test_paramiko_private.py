"""What the source stands on in paramiko beyond its documented face: these tests fail when it moves."""

import inspect

import paramiko
from paramiko.packet import Packetizer
from paramiko.transport import ServiceRequestingTransport


def test_a_transport_takes_its_packets_from_the_class_that_it_is_given() -> None:
    assert "packetizer_class" in inspect.signature(paramiko.Transport).parameters


def test_packets_are_read_through_the_methods_that_are_bounded() -> None:
    assert str(inspect.signature(Packetizer.read_all)) == "(self, n, check_rekey=False)"
    assert str(inspect.signature(Packetizer.readline)) == "(self, timeout)"
    assert str(inspect.signature(Packetizer.read_message)) == "(self)"
    assert "self.read_all(" in inspect.getsource(Packetizer.read_message)
    assert "__socket" not in inspect.getsource(Packetizer.read_message)


def test_what_was_agreed_and_the_wait_for_new_keys_are_attributes_of_a_transport() -> None:
    attributes = inspect.getsource(paramiko.Transport.__init__)
    for name in ("remote_cipher", "remote_mac", "clear_to_send", "clear_to_send_timeout"):
        assert f"self.{name} =" in attributes


def test_a_login_goes_through_the_methods_that_are_replaced() -> None:
    handler = paramiko.auth_handler.AuthOnlyHandler
    for step in (handler.auth_none, handler.auth_publickey, handler.auth_password, handler.auth_interactive):
        assert "self.send_auth_request(" in inspect.getsource(step)
    for name in ("auth_none", "auth_publickey", "auth_password", "auth_interactive"):
        assert "self.ensure_session()" in inspect.getsource(getattr(ServiceRequestingTransport, name))
    assert str(inspect.signature(handler.wait_for_response)) == "(self, event)"

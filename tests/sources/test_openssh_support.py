"""The OpenSSH tests cannot vanish unnoticed: a missing server is a reasoned skip, and a failure in CI."""

import shutil

import pytest
from support.openssh import sshd_path


def _no_program(*_: object, **__: object) -> None:
    return None


def test_without_sshd_the_tests_are_skipped_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", _no_program)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="install openssh-server"):
        sshd_path()


def test_without_sshd_the_tests_fail_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", _no_program)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="CI=true"):
        sshd_path()

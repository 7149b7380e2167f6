"""A test without its optional program is skipped with the package to install, and fails in CI."""

import pytest
from support.needs import PACKAGES, need, need_all_of


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has no optional program."""
    monkeypatch.setattr("support.needs._find", lambda _: None)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("program", PACKAGES)
def test_missing_program_skips_the_test_and_names_its_package(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"^{program} is missing: .*{PACKAGES[program]}$"):
        need(program)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("program", PACKAGES)
def test_missing_program_fails_the_test_in_ci(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=f"^{program} is missing and CI=true"):
        need(program)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("line", "missing"),
    [
        ("sqlite3 -readonly mirror.db", "sqlite3"),
        ("smki-sync manifest | sqlite3 copy.db", "sqlite3"),
        ("cd keys && ssh-keygen -lf host", "ssh-keygen"),
        ("echo $(ssh-keygen -lf host)", "ssh-keygen"),
    ],
)
def test_line_for_a_shell_needs_the_programs_that_it_starts(
    line: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"^{missing} is missing"):
        need_all_of(line)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("line", ["ls sqlite3", "python -m sqlite3", "cat mirror/sqlite3 > ip"])
def test_line_for_a_shell_does_not_need_what_it_only_mentions(line: str) -> None:
    need_all_of(line)


def test_need_returns_the_path_of_a_program_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGES, "sh", "dash")
    assert need("sh").endswith("/sh")

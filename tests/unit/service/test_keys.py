"""Keys: what is stored, what is accepted, and how one is revoked."""

from hashlib import sha256
from pathlib import Path

import pytest

from smki_sync.errors import ConfigError, UsageError
from smki_sync.service.keys import KEY_BYTES, KeyFile, add_key, read_keys


def test_add_key_stores_only_the_hash(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    key = add_key(path, "billing")
    assert path.read_text() == f"billing {sha256(key.encode()).hexdigest()}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(key) * 6 >= KEY_BYTES * 8


def test_add_key_keeps_the_other_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    keys = {name: add_key(path, name) for name in ("one", "two")}
    assert keys["one"] != keys["two"]
    assert {name: KeyFile(path).name_of(key) for name, key in keys.items()} == {"one": "one", "two": "two"}


def test_add_key_fails_when_the_name_exists(tmp_path: Path) -> None:
    add_key(tmp_path / "keys", "one")
    before = (tmp_path / "keys").read_bytes()
    with pytest.raises(UsageError, match="already has a key"):
        add_key(tmp_path / "keys", "one")
    assert (tmp_path / "keys").read_bytes() == before


@pytest.mark.parametrize("name", ["", "two words", "a\nb", "x" * 65, "dcc-client"])
def test_add_key_fails_when_the_name_is_not_valid(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        add_key(tmp_path / "keys", name)
    assert not (tmp_path / "keys").exists()


def test_key_is_refused_after_its_line_was_deleted(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    first, second = add_key(path, "first"), add_key(path, "second")
    keys = KeyFile(path)
    assert keys.name_of(first) == "first"
    path.write_text(path.read_text().splitlines()[1] + "\n")
    assert (keys.name_of(first), keys.name_of(second)) == (None, "second")


def test_every_key_is_refused_when_the_file_is_gone_or_wrong(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    key = add_key(path, "one")
    keys, content = KeyFile(path), path.read_text()
    path.write_text("nonsense\n")
    assert keys.name_of(key) is None
    path.write_text(content)
    assert keys.name_of(key) == "one"
    path.unlink()
    assert keys.name_of(key) is None


@pytest.mark.parametrize("key", [None, "", "wrong", "x" * 10_000, "\udcff", "é"])
def test_wrong_key_is_refused(tmp_path: Path, key: str | None) -> None:
    add_key(tmp_path / "keys", "one")
    assert KeyFile(tmp_path / "keys", accept_dcc_client=True).name_of(key) is None


def test_stored_hash_is_not_a_key(tmp_path: Path) -> None:
    add_key(tmp_path / "keys", "one")
    digest = (tmp_path / "keys").read_text().split()[1]
    assert KeyFile(tmp_path / "keys").name_of(digest) is None


@pytest.mark.parametrize(
    "content", ["one", "one short", f"one {'0' * 64} more", f"a {'0' * 64}\na {'1' * 64}", f"é {'0' * 64}"]
)
def test_file_is_refused_when_a_line_is_not_valid(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="file of keys"):
        read_keys(path)


def test_file_is_refused_when_others_may_write_to_it(tmp_path: Path) -> None:
    add_key(tmp_path / "keys", "one")
    (tmp_path / "keys").chmod(0o666)
    with pytest.raises(ConfigError, match="writable by other users"):
        KeyFile(tmp_path / "keys")


def test_comments_and_empty_lines_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# a comment\n\none {'0' * 64}\n")
    path.chmod(0o600)
    assert read_keys(path) == {"one": "0" * 64}

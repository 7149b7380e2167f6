"""The configuration: which value counts, what is refused and how it is said, what is never shown."""

import dataclasses
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smki_sync.catalogue import FileNames
from smki_sync.config.file import MAX_PASSWORD_BYTES, SYSTEM_FILE, mirror_here, user_config_directory
from smki_sync.config.loader import OPTIONS, VARIABLES, Config, load, load_here, nearest_key
from smki_sync.config.removed_keys import REMOVED_KEYS
from smki_sync.config.schema import EXAMPLE, KEYS, SECTIONS, example, table, toml_value
from smki_sync.config.settings import LogFormat
from smki_sync.download.retry import (
    CHANGING_SECONDS,
    LONGEST_PAUSE_SECONDS,
    PAUSE_FACTOR,
    PAUSE_JITTER,
)
from smki_sync.errors import ConfigError
from smki_sync.model.extract import ListPolicy
from smki_sync.model.plan import Policy
from smki_sync.policy import ChangeLimits
from smki_sync.reader import ReaderLimits
from smki_sync.sources.base import Limits
from smki_sync.sync.job import STREAMING_LOAD_BYTES

PAGE = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text("utf-8")
PASSWORD = "correct horse"


@dataclasses.dataclass(frozen=True)
class Site:
    """A made-up machine: three places for a file, and an environment that is its own."""

    root: Path

    @property
    def cwd(self) -> Path:
        return self.root / "cwd"

    @property
    def user(self) -> Path:
        return self.root / "user"

    @property
    def system(self) -> Path:
        return self.root / "etc" / "smki-sync.toml"

    def write(self, text: str, *, at: Path | None = None) -> Path:
        path = at or self.cwd / "smki-sync.toml"
        path.write_text(text, "utf-8")
        return path

    def load(self, options: Mapping[str, object] | None = None, **environ: str) -> Config:
        return load(options or {}, environ, cwd=self.cwd, user_dir=self.user, system_file=self.system)

    def refusal(self, options: Mapping[str, object] | None = None, **environ: str) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            self.load(options, **environ)
        return caught.value


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    for directory in (made.cwd, made.user, made.system.parent):
        directory.mkdir()
    return made


# Which value counts


def test_without_a_word_every_value_is_its_default(site: Site) -> None:
    config = site.load()
    assert config == Config()
    assert config.file is None
    assert {config.origin(key) for key in KEYS} == {"default"}


def test_an_option_counts_before_the_environment_before_the_file_before_the_default(site: Site) -> None:
    file = site.write('[mirror]\npath = "from-file"\n')
    option = {"mirror": Path("from-option")}
    seen = [
        (config.mirror.path, config.origin("mirror.path"))
        for config in (
            site.load(option, SMKI_SYNC_MIRROR="from-variable"),
            site.load(SMKI_SYNC_MIRROR="from-variable"),
            site.load(),
        )
    ]
    assert seen == [
        (site.cwd / "from-option", "option --mirror"),
        (site.cwd / "from-variable", "environment SMKI_SYNC_MIRROR"),
        (site.cwd / "from-file", f"file {file}"),
    ]


@pytest.mark.parametrize(("option", "key"), OPTIONS.items())
def test_each_option_sets_its_key_and_no_other(site: Site, option: str, key: str) -> None:
    value = {
        "log.format": LogFormat.JSON,
        "repository.url": "file:///media",
        "repository.bandwidth_limit": 1_000_000,
    }.get(key, Path("/given"))
    config = site.load({option: value})
    section, _, name = key.partition(".")
    assert getattr(getattr(config, section), name) == value
    assert config.origin(key) == f"option --{option.replace('_', '-')}"
    assert [other for other in KEYS if config.origin(other) != "default"] == [key]


def test_an_option_that_was_not_given_and_an_empty_variable_say_nothing(site: Site) -> None:
    config = site.load(
        {"mirror": None, "config": None}, SMKI_SYNC_MIRROR="", SMKI_SYNC_SOURCE="", SMKI_SYNC_CONFIG=""
    )
    assert config == Config()


def test_the_environment_names_the_source(site: Site) -> None:
    config = site.load(SMKI_SYNC_SOURCE="sftp://party@host/extracts")
    assert config.need_url() == "sftp://party@host/extracts"
    assert config.origin("repository.url") == "environment SMKI_SYNC_SOURCE"


def test_the_first_file_that_is_there_is_the_only_one_read(site: Site) -> None:
    for place, days in (
        (site.system, 30),
        (site.user / "smki-sync.toml", 20),
        (site.cwd / "smki-sync.toml", 10),
    ):
        site.write(f"[policy]\nwindow_days = {days}\n", at=place)
        assert site.load().policy.window_days == days
        assert site.load().file == place
    site.write("")
    assert site.load().policy == Config().policy  # the other two are not asked for what the first leaves out


def test_a_named_file_counts_before_those_that_are_found_and_the_option_before_the_variable(
    site: Site,
) -> None:
    site.write("[policy]\nwindow_days = 10\n")
    first = site.write("[policy]\nwindow_days = 11\n", at=site.root / "first.toml")
    second = site.write("[policy]\nwindow_days = 12\n", at=site.root / "second.toml")
    assert site.load({"config": first}, SMKI_SYNC_CONFIG=str(second)).policy.window_days == 11
    assert site.load(SMKI_SYNC_CONFIG="../second.toml").policy.window_days == 12


def test_paths_of_a_file_start_at_the_file_and_those_of_an_option_at_the_current_directory(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/party")
    site.write(
        '[mirror]\npath = "m"\n[repository]\nidentity_file = "~/k"\npassword_file = "/p"\n', at=site.system
    )
    config = site.load({"known_hosts": "known"})
    assert config.mirror.path == site.system.parent / "m"
    assert config.repository.identity_file == Path("/home/party/k")
    assert config.repository.password_file == Path("/p")
    assert config.repository.known_hosts == site.cwd / "known"


def test_a_user_without_a_home_has_the_files_of_the_machine_and_a_tilde_is_refused_by_name(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(_uid: int) -> NoReturn:
        raise KeyError

    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert user_config_directory() == SYSTEM_FILE.parent
    with pytest.raises(ConfigError, match=r"~/a\.toml starts with a home directory"):
        site.load({"config": Path("~/a.toml")})
    with pytest.raises(ConfigError, match=r"~/b\.toml starts with a home directory"):
        site.load(SMKI_SYNC_CONFIG="~/b.toml")
    with pytest.raises(ConfigError, match=r"mirror\.path must be a path"):
        site.load({"mirror": Path("~/m")})


def test_every_key_can_be_written_and_is_taken(site: Site) -> None:
    file = site.write(example({name: key.info.example or key.default for name, key in KEYS.items()}))
    config = site.load()
    assert {config.origin(name) for name in KEYS} == {f"file {file}"}
    assert config.policy.quarantine_share == 0.1
    assert config.repository.companion_names == FileNames().companions


def test_this_process_is_asked_for_its_own_environment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SMKI_SYNC_CONFIG", "SMKI_SYNC_SOURCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SMKI_SYNC_MIRROR", "here")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(site.user))
    (site.user / "smki-sync").mkdir()
    file = site.write("[policy]\nwindow_days = 9\n", at=site.user / "smki-sync" / "smki-sync.toml")
    monkeypatch.chdir(site.cwd)
    config = load_here({})
    assert (config.mirror.path, config.file) == (site.cwd / "here", file)


# What is refused


@pytest.mark.parametrize("giver", ["option", "environment", "file"])
def test_where_the_mirror_is_is_known_without_the_rest_of_the_configuration(
    site: Site, monkeypatch: pytest.MonkeyPatch, giver: str
) -> None:
    monkeypatch.chdir(site.cwd)
    monkeypatch.delenv("SMKI_SYNC_MIRROR", raising=False)
    (site.cwd / "smki-sync.toml").write_text('hoks = 1\n[mirror]\npath = "of-file"\n')
    if giver != "file":
        monkeypatch.setenv("SMKI_SYNC_MIRROR", "of-environment")
    option = Path("of-option") if giver == "option" else None
    assert mirror_here(mirror=option, config=None) == site.cwd / f"of-{giver}"


@pytest.mark.parametrize("section", ['path = ""', "path = 1", "", "pth = 'x'"])
def test_where_the_mirror_is_not_said_every_fault_of_the_file_is(
    site: Site, monkeypatch: pytest.MonkeyPatch, section: str
) -> None:
    monkeypatch.chdir(site.cwd)
    monkeypatch.delenv("SMKI_SYNC_MIRROR", raising=False)
    (site.cwd / "smki-sync.toml").write_text(f"[hoks]\n[mirror]\n{section}\n")
    with pytest.raises(ConfigError, match="hoks"):
        mirror_here(mirror=None, config=None)


def test_a_look_up_still_needs_a_file_that_can_be_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(site.cwd)
    (site.cwd / "smki-sync.toml").write_text("[mirror\n")
    with pytest.raises(ConfigError, match="TOML"):
        mirror_here(mirror=Path("there"), config=None)


def test_a_named_file_that_is_not_there_is_an_error_that_says_who_named_it(site: Site) -> None:
    site.write("")
    by_option = site.refusal({"config": "gone.toml"})
    assert str(site.cwd / "gone.toml") in by_option.message
    assert "--config" in by_option.hint
    assert "SMKI_SYNC_CONFIG" in site.refusal(SMKI_SYNC_CONFIG="gone.toml").hint


@pytest.mark.parametrize(
    ("text", "unknown", "neighbour"),
    [
        ("[repository]\nulr = 1", "'repository.ulr'", "repository.url"),
        ("[repository]\npassword = 1", "'repository.password'", "repository.password_file"),
        ("[repository]\npath = 1", "'repository.path'", "mirror.path"),
        ("[mirrors]\npath = 1", "'mirrors'", "[mirror]"),
        ("window_days = 7", "'window_days'", "policy.window_days"),
        ('[log]\n"" = 7', "'log.'", "log."),
        ('[log]\n"\\n" = 7', r"'log.\n'", "log."),
    ],
)
def test_an_unknown_name_is_refused_with_its_nearest_neighbour(
    site: Site, text: str, unknown: str, neighbour: str
) -> None:
    file = site.write(text)
    message = site.refusal().message
    assert message.startswith(f"{unknown} is unknown (file {file}). Did you mean {neighbour}")


@given(st.text(), st.sampled_from(["", *SECTIONS]))
def test_every_name_has_a_nearest_neighbour_that_exists(name: str, section: str) -> None:
    assert nearest_key(section, name) in KEYS


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("policy.window_days", "0", "a whole number of days from 1 to 366"),
        ("policy.window_days", "367", "a whole number of days from 1 to 366"),
        ("policy.window_days", '"7"', "a whole number of days from 1 to 366"),
        ("policy.window_days", "7.0", "a whole number of days from 1 to 366"),
        ("policy.window_days", "true", "a whole number of days from 1 to 366"),
        ("policy.quarantine_share", "1.01", "a number from 0 to 1"),
        ("policy.quarantine_share", "nan", "a number from 0 to 1"),
        ("limits.stall_seconds", "inf", "a number of seconds from 0.001 to 604800"),
        ("limits.connect_seconds", "0", "a number of seconds from 0.001 to 604800"),
        ("archive.keep_fulls", "-1", "a whole number of fulls from 1"),
        ("archive.keep_fulls", "1" + 400 * "0", "a whole number of fulls from 1"),
        ("mirror.path", '""', "a path"),
        ("mirror.path", "7", "a path"),
        ("mirror.path", '"a\\u0000b"', "a path"),
        ("mirror.path", '"~nobody-of-this-name/m"', "a path"),
        ("mirror.keep_previous", '"yes"', "true or false"),
        ("repository.full_name", '""', "a string"),
        ("repository.companion_names", '"*ARL*"', "a list of strings"),
        ("repository.companion_names", "[1]", "a list of strings"),
        ("log.format", '"xml"', '"text" or "json"'),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_refused_with_what_is_wanted(
    site: Site, key: str, value: str, wanted: str
) -> None:
    section, _, name = key.partition(".")
    file = site.write(f"[{section}]\n{name} = {value}\n")
    assert site.refusal().message == f"{key} must be {wanted} (file {file})"


def test_values_at_their_bounds_are_taken(site: Site) -> None:
    site.write("[policy]\nwindow_days = 366\nquarantine_share = 1\n[limits]\ntotal_seconds = 0\n")
    config = site.load()
    assert (config.policy.window_days, config.policy.quarantine_share) == (366, 1.0)
    assert config.limits.total_seconds == 0.0


def test_all_faults_come_at_once_each_with_its_place(site: Site) -> None:
    file = site.write("stray = 1\n[policy]\nwindow_days = 0\n[log]\nformat = 1\nlevel = 2\n")
    lines = site.refusal({"mirror": ""}, SMKI_SYNC_SOURCE="ftp://x").message.split("\n")
    assert lines[0] == "The configuration has 6 errors:"
    assert [line.split()[0].strip("'") for line in lines[1:]] == [
        "stray",
        "log.level",
        "mirror.path",
        "repository.url",
        "policy.window_days",
        "log.format",
    ]
    assert [line.count(str(file)) for line in lines[1:]] == [1, 1, 0, 0, 1, 1]
    assert "option --mirror" in lines[3]
    assert "environment SMKI_SYNC_SOURCE" in lines[4]


def test_a_fault_in_the_file_is_one_even_where_an_option_overrides_it(site: Site) -> None:
    site.write("[mirror]\npath = 7\n")
    assert "mirror.path" in site.refusal({"mirror": "/good"}).message


@pytest.mark.parametrize("text", ["mirror = 7", "[[mirror]]\npath = 'x'"])
def test_a_section_that_is_none_is_refused(site: Site, text: str) -> None:
    site.write(text)
    assert site.refusal().message.startswith("mirror must be a section, [mirror]")


@pytest.mark.parametrize(
    "octets",
    [b"[mirror\n", b"\xff\xfe[\0m\0", b"a = " + b"[" * 100_000, b"a = " + b"9" * 10_000, b"#" * 1_000_001],
)
def test_a_file_that_is_no_toml_is_refused_by_name(site: Site, octets: bytes) -> None:
    file = site.cwd / "smki-sync.toml"
    file.write_bytes(octets)
    assert str(file) in site.refusal().message


def test_a_byte_order_mark_before_the_first_section_is_no_fault(site: Site) -> None:
    (site.cwd / "smki-sync.toml").write_bytes(b"\xef\xbb\xbf[policy]\nwindow_days = 8\n")
    assert site.load().policy.window_days == 8


def test_a_directory_under_the_files_name_is_refused_and_not_passed_over(site: Site) -> None:
    (site.cwd / "smki-sync.toml").mkdir()
    site.write("", at=site.system)
    assert "cannot be read" in site.refusal().message


def test_a_place_that_cannot_be_looked_into_is_passed_over(site: Site) -> None:
    site.write("[policy]\nwindow_days = 8\n", at=site.system)
    (site.root / "not-a-directory").touch()
    elsewhere = site.root / "not-a-directory"
    config = load({}, {}, cwd=site.cwd, user_dir=elsewhere, system_file=site.system)
    assert config.file == site.system


@pytest.mark.parametrize(
    "line",
    ['full_name = "FULL.xml.gz"', 'delta_name = "{date}{date}"', 'delta_name = "SMKIKR_FULL_{date}.xml.gz"'],
)
def test_a_template_that_could_not_name_an_extract_is_refused_with_its_file(site: Site, line: str) -> None:
    file = site.write(f"[repository]\n{line}\n")
    message = site.refusal().message
    assert message.startswith("repository.full_name, repository.delta_name: ")
    assert message.endswith(f"(file {file})")


def test_an_option_that_nobody_knows_is_a_defect_and_not_passed_over(site: Site) -> None:
    with pytest.raises(KeyError, match="miror"):
        site.load({"miror": "x"})


def test_an_origin_is_known_for_real_keys_only() -> None:
    with pytest.raises(KeyError):
        Config().origin("mirror.pth")


@pytest.mark.parametrize("place", ["mirror/downloads", "mirror/generations/old", "link"])
def test_an_archive_in_a_room_that_a_run_empties_is_refused(site: Site, place: str) -> None:
    (site.cwd / "link").symlink_to("mirror/downloads")
    site.write(f'[mirror]\npath = "mirror"\n[archive]\npath = "{place}"\n')
    message = site.refusal().message
    assert "archive.path is in" in message
    assert "where each run deletes files" in message
    site.write(f'[mirror]\npath = "elsewhere"\n[archive]\npath = "{place}"\n')
    assert site.load().archive.path == site.cwd / place
    site.refusal({"mirror": "mirror"})


# What a command needs


@pytest.mark.parametrize(
    ("need", "ways"),
    [
        (Config.need_url, ("--source", "SMKI_SYNC_SOURCE", "repository.url")),
        (Config.need_mirror, ("--mirror", "SMKI_SYNC_MIRROR", "mirror.path")),
    ],
)
def test_what_a_command_needs_and_nobody_gave_is_an_error_with_the_three_ways(
    site: Site, need: Callable[[Config], object], ways: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as caught:
        need(site.load())
    assert all(way in caught.value.hint for way in ways)
    assert "No configuration file was found" in caught.value.message
    file = site.write("")
    with pytest.raises(ConfigError, match=re.escape(str(file))):
        need(site.load())


def test_what_was_given_is_handed_on(site: Site) -> None:
    config = site.load({"mirror": "/m", "source": "file:///media"})
    assert (config.need_mirror(), config.need_url()) == (Path("/m"), "file:///media")


def test_the_parts_get_their_own_defaults_unless_told_otherwise() -> None:
    plain = Config()
    assert plain.policy.planner_policy() == Policy()
    assert plain.policy.change_limits() == ChangeLimits()
    assert plain.limits.source_limits() == Limits()
    assert plain.reader_limits() == ReaderLimits()
    assert plain.repository.file_names() == FileNames()


def test_the_parts_get_what_was_configured(site: Site) -> None:
    site.write(
        "[policy]\nwindow_days = 8\nfull_overlap_days = 3\nlate_after_days = 4\nquarantine_share = 0.5\n"
        "max_shrink_share = 0.2\nmax_repeat_share = 0.3\nmax_not_in_use_share = 0.4\n"
        "[limits]\nconnect_seconds = 1\nlogin_seconds = 3\nstall_seconds = 4\ntotal_seconds = 5\n"
    )
    config = site.load()
    assert config.policy.planner_policy() == Policy(window_days=8, full_overlap_days=3, late_after_days=4)
    assert config.policy.change_limits() == ChangeLimits(
        shrink_share=0.2, repeat_share=0.3, not_in_use_share=0.4
    )
    assert config.limits.source_limits() == Limits(connect=1, banner=3, login=3, stall=4, total=5)
    assert config.reader_limits() == ReaderLimits(quarantine_share=0.5)


# Secrets


def password_file(site: Site, octets: bytes = PASSWORD.encode() + b"\n", *, mode: int = 0o600) -> Path:
    path = site.root / "password"
    path.write_bytes(octets)
    path.chmod(mode)
    site.write(f"[repository]\npassword_file = {toml_value(path)}\n")
    return path


def refused_secret(config: Config) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        config.secrets()
    return caught.value


def test_without_a_word_there_are_no_secrets(site: Site) -> None:
    secrets = site.load(SMKI_SYNC_PASSWORD="", SMKI_SYNC_KEY_PASSPHRASE="").secrets()
    assert (secrets.password, secrets.key_passphrase) == (None, None)


def test_the_environment_gives_both_secrets(site: Site) -> None:
    secrets = site.load(SMKI_SYNC_PASSWORD=PASSWORD, SMKI_SYNC_KEY_PASSPHRASE="phrase").secrets()
    assert (secrets.password, secrets.key_passphrase) == (PASSWORD, "phrase")


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_password_file_gives_its_line_without_the_line_end(site: Site, end: bytes) -> None:
    password_file(site, b" caf\xc3\xa9 " + end)
    assert site.load(SMKI_SYNC_KEY_PASSPHRASE="phrase").secrets().password == " café "


def test_the_environments_password_leaves_the_file_unread(site: Site) -> None:
    password_file(site).unlink()
    assert site.load(SMKI_SYNC_PASSWORD=PASSWORD).secrets().password == PASSWORD


def test_a_password_file_is_not_opened_before_it_is_needed(site: Site) -> None:
    path = password_file(site)
    path.unlink()
    config = site.load()
    assert config.repository.password_file == path
    assert str(path) in refused_secret(config).message


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_a_password_file_that_others_may_use_is_refused(site: Site, mode: int) -> None:
    path = password_file(site, mode=mode)
    error = refused_secret(site.load())
    assert f"{mode:04o}" in error.message
    assert error.hint == f"chmod 600 {path}"
    assert PASSWORD not in error.message


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_password_file_of_its_owner_alone_is_taken(site: Site, mode: int) -> None:
    password_file(site, mode=mode)
    assert site.load().secrets().password == PASSWORD


@pytest.mark.parametrize(
    "octets", [b"", b"\n", b"two\nlines\n", b"\xff\xfe", b"x" * (MAX_PASSWORD_BYTES + 1)]
)
def test_a_password_file_that_holds_no_one_line_is_refused(site: Site, octets: bytes) -> None:
    path = password_file(site, octets)
    error = refused_secret(site.load())
    assert str(path) in error.message
    assert error.__cause__ is None


def test_a_pipe_for_a_password_file_is_refused_and_does_not_hang(site: Site) -> None:
    path = password_file(site)
    path.unlink()
    os.mkfifo(path, 0o600)
    assert "no regular file" in refused_secret(site.load()).message


def test_no_secret_shows_in_any_repr(site: Site) -> None:
    password_file(site)
    config = site.load(SMKI_SYNC_KEY_PASSPHRASE="open sesame")
    shown = f"{config!r} {config.secrets()!r} {config.environment!r} {config.origins!r}"
    assert PASSWORD not in shown
    assert "open sesame" not in shown


@pytest.mark.parametrize("shape", ['["{}", 1]', '{{ x = "{}" }}', '[["{}"]]'])
@pytest.mark.parametrize("name", KEYS)
def test_a_secret_in_the_wrong_place_is_never_repeated(site: Site, name: str, shape: str) -> None:
    section, _, key = name.partition(".")
    site.write(f"[{section}]\n{key} = {shape.format(PASSWORD)}\n")
    error = site.refusal()
    assert error.message.startswith(f"{name} must be ")
    assert PASSWORD not in f"{error.message} {error.hint} {error.__cause__!r} {error.__context__!r}"


def test_a_password_inside_the_url_is_refused_without_being_shown(site: Site) -> None:
    error = site.refusal({"source": f"sftp://party:{PASSWORD.replace(' ', '')}@host/x"})
    assert "password" in error.message
    assert PASSWORD.replace(" ", "") not in f"{error.message} {error.hint}"


# The page, and the cost


def test_the_page_holds_the_table_of_the_keys() -> None:
    made = PAGE.partition("<!-- keys:")[2].partition("-->\n")[2].partition("\n<!-- end -->")[0]
    assert made == table()


def test_the_table_has_every_key_with_its_default() -> None:
    rows = {row.split("`")[1]: row for row in table().splitlines()[2:]}
    assert list(rows) == list(KEYS)
    for section, cls in SECTIONS.items():
        for field in dataclasses.fields(cls):
            default = getattr(cls(), field.name)
            shown = "none" if default is None else f"`{toml_value(default)}`"
            row = rows[f"{section}.{field.name}"]
            assert row.endswith(f"| {shown} |")


@pytest.mark.parametrize("key", REMOVED_KEYS)
def test_removed_key_is_rejected_with_its_replacement(site: Site, key: str) -> None:
    section, _, name = key.partition(".")
    file = site.write(f"[{section}]\n{name} = 1\n")
    assert site.refusal().message == f"{key} no longer exists (file {file}): {REMOVED_KEYS[key]}."


def test_removed_keys_do_not_exist_and_name_keys_that_do() -> None:
    assert not set(REMOVED_KEYS) & set(KEYS)
    named = {name for text in REMOVED_KEYS.values() for name in re.findall(r"\b[a-z]+\.[a-z_]+\b", text)}
    assert named <= set(KEYS)


def test_removed_keys_state_the_values_of_the_constants() -> None:
    reader, source, changes, lists = ReaderLimits(), Limits(), ChangeLimits(), ListPolicy()
    values = {
        "repository.overlap_bytes": f"{STREAMING_LOAD_BYTES >> 20} MiB",
        "repository.changing_seconds": f"{CHANGING_SECONDS:g} seconds",
        "retry.longest_pause_seconds": f"{LONGEST_PAUSE_SECONDS:g} seconds",
        "retry.jitter": f"{PAUSE_JITTER * 100:g} %",
        "limits.banner_seconds": f"{source.banner:g} seconds",
        "limits.slow_rate": f"{source.slow_rate:,.0f} bytes",
        "limits.slow_seconds": f"{source.slow_period:g} seconds",
        "limits.keep_alive_seconds": f"{source.keep_alive:g} seconds",
        "limits.listing_entries": f"{source.entries:,} names",
        "limits.name_length": f"{source.name_length} characters",
        "limits.companion_bytes": f"{lists.largest_bytes >> 20} MiB",
        "limits.decompressed_bytes": f"{reader.decompressed_bytes >> 40} TiB",
        "limits.ratio": f"{reader.ratio} bytes",
        "limits.records": f"{reader.records:,} records",
        "limits.field_bytes": f"{reader.field_length >> 10} KiB",
        "limits.depth": f"depth of {reader.depth}",
        "limits.record_bytes": f"{reader.record_bytes >> 20} MiB",
        "limits.leading_bytes": f"{reader.leading_bytes >> 10} KiB",
        "limits.names": f"{reader.names:,} distinct",
    }
    assert {key: value in REMOVED_KEYS[key] for key, value in values.items()} == dict.fromkeys(values, True)
    assert (PAUSE_FACTOR, reader.quarantine_allowance) == (3.0, 5)
    assert (changes.shrink_allowance, changes.not_in_use_allowance) == (20, 5)


def test_configuration_has_at_most_50_keys() -> None:
    assert len(KEYS) <= 50


def test_the_example_loads_and_sets_what_it_shows(site: Site) -> None:
    file = site.write(example())
    config = site.load()
    assert {key for key in KEYS if config.origin(key) == f"file {file}"} == set(EXAMPLE)
    assert config.need_url() == EXAMPLE["repository.url"]
    assert config.need_mirror() == Path("/var/lib/smki-sync")


def test_the_example_with_every_comment_taken_off_has_every_key(site: Site) -> None:
    text = re.sub(r"^#(?=[a-z_]+ = )", "", example(), flags=re.MULTILINE)
    site.write(text)
    config = site.load()
    assert all(config.origin(key) != "default" for key in KEYS)
    agreed = dataclasses.replace(config.policy, full_download_day=None, full_download_hours=None)
    assert agreed == Config().policy


def test_the_page_names_every_option_and_variable() -> None:
    for option in OPTIONS:
        assert f"`--{option.replace('_', '-')}`" in PAGE
    for variable in (*VARIABLES, "SMKI_SYNC_CONFIG", "SMKI_SYNC_PASSWORD", "SMKI_SYNC_KEY_PASSPHRASE"):
        assert f"`{variable}`" in PAGE


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_written_as_toml_is_read_back(text: str) -> None:
    assert tomllib.loads(f"x = {toml_value(text)}") == {"x": text}


def test_to_load_a_configuration_imports_nothing_that_takes_long() -> None:
    heavy = "{'typer', 'rich', 'paramiko', 'lxml', 'apsw', 'cryptography', 'sqlite_utils'}"
    program = f"import sys, smki_sync.config; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""

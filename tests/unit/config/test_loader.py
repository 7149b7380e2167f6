"""Precedence of options, environment, file and defaults; errors for keys and values; what commands get."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smki_sync.catalogue import FileNames
from smki_sync.config.file import SYSTEM_FILE, mirror_here, user_config_directory
from smki_sync.config.loader import OPTIONS, Config, load, load_here, nearest_key
from smki_sync.config.removed_keys import REMOVED_KEYS
from smki_sync.config.schema import KEYS, SECTIONS, example
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
from unit.config.conftest import Site

# Precedence


def test_all_values_are_defaults_when_nothing_is_given(site: Site) -> None:
    config = site.load()
    assert config == Config()
    assert config.file is None
    assert {config.origin(key) for key in KEYS} == {"default"}


def test_option_wins_over_environment_over_file(site: Site) -> None:
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
        (site.user / "from-file", f"file {file}"),
    ]


@pytest.mark.parametrize(("option", "key"), OPTIONS.items())
def test_option_sets_its_key_only(site: Site, option: str, key: str) -> None:
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


def test_missing_option_and_empty_variable_set_nothing(site: Site) -> None:
    config = site.load(
        {"mirror": None, "config": None}, SMKI_SYNC_MIRROR="", SMKI_SYNC_SOURCE="", SMKI_SYNC_CONFIG=""
    )
    assert config == Config()


def test_environment_sets_the_source(site: Site) -> None:
    config = site.load(SMKI_SYNC_SOURCE="sftp://party@host/extracts")
    assert config.need_url() == "sftp://party@host/extracts"
    assert config.origin("repository.url") == "environment SMKI_SYNC_SOURCE"


def test_relative_paths_start_at_the_file_or_the_current_directory(
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


def test_user_without_a_home_has_the_file_of_the_machine(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown_user(_uid: int) -> NoReturn:
        raise KeyError

    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown_user)
    assert user_config_directory() == SYSTEM_FILE.parent
    with pytest.raises(ConfigError, match=r"~/a\.toml starts with a home directory"):
        site.load({"config": Path("~/a.toml")})
    with pytest.raises(ConfigError, match=r"~/b\.toml starts with a home directory"):
        site.load(SMKI_SYNC_CONFIG="~/b.toml")
    with pytest.raises(ConfigError, match=r"mirror\.path must be a path"):
        site.load({"mirror": Path("~/m")})


def test_every_key_can_be_set_in_the_file(site: Site) -> None:
    file = site.write(example({name: key.info.example or key.default for name, key in KEYS.items()}))
    config = site.load()
    assert {config.origin(name) for name in KEYS} == {f"file {file}"}
    assert config.policy.quarantine_share == 0.1
    assert config.repository.companion_names == FileNames().companions


def test_load_here_uses_the_environment_of_the_process(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SMKI_SYNC_CONFIG", "SMKI_SYNC_SOURCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SMKI_SYNC_MIRROR", "here")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(site.user))
    (site.user / "smki-sync").mkdir(mode=0o755)
    file = site.write("[policy]\nwindow_days = 9\n", at=site.user / "smki-sync" / "smki-sync.toml")
    monkeypatch.chdir(site.cwd)
    config = load_here({})
    assert (config.mirror.path, config.file) == (site.cwd / "here", file)


def test_load_here_works_when_the_current_directory_is_deleted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(site.user))
    monkeypatch.chdir(site.cwd)
    site.cwd.rmdir()
    config = load_here({"mirror": "/m"})
    assert config.mirror.path == Path("/m")
    relative = load_here({"mirror": "m"}).mirror.path
    assert relative is not None
    with pytest.raises(FileNotFoundError):
        relative.mkdir()


# The mirror directory alone


@pytest.fixture
def lookup(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site whose user directory and environment are those of this process."""
    monkeypatch.chdir(site.cwd)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(site.root / "xdg"))
    for name in ("SMKI_SYNC_MIRROR", "SMKI_SYNC_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    (site.root / "xdg" / "smki-sync").mkdir(parents=True, mode=0o755)
    return site


def write_user_file(lookup: Site, text: str) -> Path:
    return lookup.write(text, at=lookup.root / "xdg" / "smki-sync" / "smki-sync.toml")


@pytest.mark.parametrize("giver", ["option", "environment", "file"])
def test_mirror_is_found_when_another_section_has_an_error(
    lookup: Site, monkeypatch: pytest.MonkeyPatch, giver: str
) -> None:
    file = write_user_file(lookup, 'hoks = 1\n[mirror]\npath = "of-file"\n')
    if giver != "file":
        monkeypatch.setenv("SMKI_SYNC_MIRROR", "of-environment")
    option = Path("of-option") if giver == "option" else None
    base = file.parent if giver == "file" else lookup.cwd
    assert mirror_here(mirror=option, config=None) == base / f"of-{giver}"


@pytest.mark.parametrize("section", ['path = ""', "path = 1", "", "pth = 'x'"])
def test_all_errors_are_reported_when_the_mirror_is_not_found(lookup: Site, section: str) -> None:
    write_user_file(lookup, f"[hoks]\n[mirror]\n{section}\n")
    with pytest.raises(ConfigError, match="hoks"):
        mirror_here(mirror=None, config=None)


def test_lookup_fails_when_the_file_is_not_toml(lookup: Site) -> None:
    write_user_file(lookup, "[mirror\n")
    with pytest.raises(ConfigError, match="TOML"):
        mirror_here(mirror=Path("there"), config=None)


# Errors in keys and values


@pytest.mark.parametrize(
    ("text", "unknown", "nearest"),
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
def test_unknown_name_is_rejected_with_the_most_similar_key(
    site: Site, text: str, unknown: str, nearest: str
) -> None:
    file = site.write(text)
    message = site.error().message
    assert message.startswith(f"{unknown} is unknown (file {file}). Did you mean {nearest}")


@given(st.text(), st.sampled_from(["", *SECTIONS]))
def test_nearest_key_exists_for_any_name(name: str, section: str) -> None:
    assert nearest_key(section, name) in KEYS


@pytest.mark.parametrize("key", REMOVED_KEYS)
def test_removed_key_is_rejected_with_its_replacement(site: Site, key: str) -> None:
    section, _, name = key.partition(".")
    file = site.write(f"[{section}]\n{name} = 1\n")
    assert site.error().message == f"{key} no longer exists (file {file}): {REMOVED_KEYS[key]}."


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


@pytest.mark.parametrize(
    ("key", "value", "expected"),
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
        ("mirror.path", '"~no-user-of-this-name/m"', "a path"),
        ("mirror.keep_previous", '"yes"', "true or false"),
        ("repository.full_name", '""', "a string"),
        ("repository.companion_names", '"*ARL*"', "a list of strings"),
        ("repository.companion_names", "[1]", "a list of strings"),
        ("log.format", '"xml"', '"text" or "json"'),
    ],
)
def test_wrong_value_is_rejected_with_what_is_expected(
    site: Site, key: str, value: str, expected: str
) -> None:
    section, _, name = key.partition(".")
    file = site.write(f"[{section}]\n{name} = {value}\n")
    assert site.error().message == f"{key} must be {expected} (file {file})"


def test_values_at_their_bounds_are_accepted(site: Site) -> None:
    site.write("[policy]\nwindow_days = 366\nquarantine_share = 1\n[limits]\ntotal_seconds = 0\n")
    config = site.load()
    assert (config.policy.window_days, config.policy.quarantine_share) == (366, 1.0)
    assert config.limits.total_seconds == 0.0


def test_all_errors_are_reported_together_with_their_origin(site: Site) -> None:
    file = site.write("stray = 1\n[policy]\nwindow_days = 0\n[log]\nformat = 1\nlevel = 2\n")
    lines = site.error({"mirror": ""}, SMKI_SYNC_SOURCE="ftp://x").message.split("\n")
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


def test_error_in_the_file_is_reported_when_an_option_overrides_the_key(site: Site) -> None:
    site.write("[mirror]\npath = 7\n")
    assert "mirror.path" in site.error({"mirror": "/good"}).message


@pytest.mark.parametrize("text", ["mirror = 7", "[[mirror]]\npath = 'x'"])
def test_key_with_the_name_of_a_section_is_rejected(site: Site, text: str) -> None:
    site.write(text)
    assert site.error().message.startswith("mirror must be a section, [mirror]")


@pytest.mark.parametrize(
    "line",
    ['full_name = "FULL.xml.gz"', 'delta_name = "{date}{date}"', 'delta_name = "SMKIKR_FULL_{date}.xml.gz"'],
)
def test_template_that_cannot_name_an_extract_is_rejected(site: Site, line: str) -> None:
    file = site.write(f"[repository]\n{line}\n")
    message = site.error().message
    assert message.startswith("repository.full_name, repository.delta_name: ")
    assert message.endswith(f"(file {file})")


def test_unknown_option_is_a_bug_in_the_caller(site: Site) -> None:
    with pytest.raises(KeyError, match="miror"):
        site.load({"miror": "x"})


def test_origin_fails_for_an_unknown_key() -> None:
    with pytest.raises(KeyError):
        Config().origin("mirror.pth")


@pytest.mark.parametrize("place", ["mirror/downloads", "mirror/generations/old", "link"])
def test_archive_in_a_directory_that_runs_clean_is_rejected(site: Site, place: str) -> None:
    (site.user / "link").symlink_to("mirror/downloads")
    site.write(f'[mirror]\npath = "mirror"\n[archive]\npath = "{place}"\n')
    message = site.error().message
    assert "archive.path is in" in message
    assert "where each run deletes files" in message
    site.write(f'[mirror]\npath = "elsewhere"\n[archive]\npath = "{place}"\n')
    assert site.load().archive.path == site.user / place
    site.error({"mirror": str(site.user / "mirror")})


# What commands get


@pytest.mark.parametrize(
    ("need", "ways"),
    [
        (Config.need_url, ("--source", "SMKI_SYNC_SOURCE", "repository.url")),
        (Config.need_mirror, ("--mirror", "SMKI_SYNC_MIRROR", "mirror.path")),
    ],
)
def test_missing_value_is_an_error_with_the_three_ways_to_give_it(
    site: Site, need: Callable[[Config], object], ways: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as caught:
        need(site.load())
    assert all(way in caught.value.hint for way in ways)
    assert "No configuration file was found" in caught.value.message
    file = site.write("")
    with pytest.raises(ConfigError, match=re.escape(str(file))):
        need(site.load())


def test_needed_values_are_returned_when_they_are_given(site: Site) -> None:
    config = site.load({"mirror": "/m", "source": "file:///media"})
    assert (config.need_mirror(), config.need_url()) == (Path("/m"), "file:///media")


def test_parts_have_their_defaults_when_nothing_is_configured() -> None:
    config = Config()
    assert config.policy.planner_policy() == Policy()
    assert config.policy.change_limits() == ChangeLimits()
    assert config.limits.source_limits() == Limits()
    assert config.reader_limits() == ReaderLimits()
    assert config.repository.file_names() == FileNames()
    assert config.list_policy() == ListPolicy()


def test_parts_have_the_configured_values(site: Site) -> None:
    site.write(
        "[policy]\nwindow_days = 8\nfull_overlap_days = 3\nlate_after_days = 4\nquarantine_share = 0.5\n"
        "max_shrink_share = 0.2\nmax_repeat_share = 0.3\nmax_not_in_use_share = 0.4\n"
        "[limits]\nconnect_seconds = 1\nlogin_seconds = 3\nstall_seconds = 4\ntotal_seconds = 5\n"
        "[trust]\narl_max_age_days = 6\ncrl_max_age_days = 7\nexpect_lists = false\n"
    )
    config = site.load()
    assert config.policy.planner_policy() == Policy(window_days=8, full_overlap_days=3, late_after_days=4)
    assert config.policy.change_limits() == ChangeLimits(
        shrink_share=0.2, repeat_share=0.3, not_in_use_share=0.4
    )
    assert config.limits.source_limits() == Limits(connect=1, banner=3, login=3, stall=4, total=5)
    assert config.reader_limits() == ReaderLimits(quarantine_share=0.5)
    assert config.list_policy() == ListPolicy(arl_max_age_days=6, crl_max_age_days=7, expected=False)


def test_load_uses_the_system_file_when_the_user_directory_is_not_a_directory(site: Site) -> None:
    site.write("[policy]\nwindow_days = 8\n", at=site.system)
    (site.root / "not-a-directory").touch()
    config = load({}, {}, cwd=site.cwd, user_dir=site.root / "not-a-directory", system_file=site.system)
    assert config.file == site.system


def test_every_field_of_a_section_is_a_key() -> None:
    assert {
        f"{section}.{field.name}" for section, cls in SECTIONS.items() for field in dataclasses.fields(cls)
    } == set(KEYS)

"""The generated reference and example, and the cost of loading the package."""

import dataclasses
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from smki_sync.config.loader import OPTIONS, VARIABLES, Config
from smki_sync.config.schema import EXAMPLE, KEYS, SECTIONS, example, table, toml_value
from unit.config.conftest import Site

PAGE = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text("utf-8")


LATER_KEYS = {
    "party.euis",
    "party.warn_days",
    "repository.engine",
    "repository.ssh_config",
    "policy.stale_lists",
    "serve.listen",
    "serve.prefix",
    "serve.keys_file",
    "serve.accept_boxed_key",
    "serve.tls_certificate",
    "serve.tls_key",
    "serve.behind_proxy",
    "serve.answer_when_behind_days",
    "serve.rate",
}
"""Keys of features that came after the reduction (decision 16): the OpenSSH engine, stale lists, serve,
watch."""


def test_configuration_has_at_most_50_keys_without_later_features() -> None:
    assert set(KEYS) >= LATER_KEYS
    assert len(set(KEYS) - LATER_KEYS) <= 50


def test_page_contains_the_generated_table() -> None:
    made = PAGE.partition("<!-- keys:")[2].partition("-->\n")[2].partition("\n<!-- end -->")[0]
    assert made == table()


def test_table_has_every_key_with_its_default() -> None:
    rows = {row.split("`")[1]: row for row in table().splitlines()[2:]}
    assert list(rows) == list(KEYS)
    for section, cls in SECTIONS.items():
        for field in dataclasses.fields(cls):
            default = getattr(cls(), field.name)
            shown = "none" if default is None else f"`{toml_value(default)}`"
            assert rows[f"{section}.{field.name}"].endswith(f"| {shown} |")


def test_meanings_are_noun_phrases_that_end_with_a_full_stop() -> None:
    for key in KEYS.values():
        assert key.info.meaning[0].isupper()
        assert key.info.meaning.endswith(".")
        assert not re.match(r"(Whether|What|How|Where|So many|Most|Longest wait)\b", key.info.meaning)


def test_example_loads_and_sets_only_what_it_shows(site: Site) -> None:
    file = site.write(example())
    config = site.load()
    assert {key for key in KEYS if config.origin(key) == f"file {file}"} == set(EXAMPLE)
    assert config.need_url() == EXAMPLE["repository.url"]
    assert config.need_mirror() == Path("/var/lib/smki-sync")


def test_example_sets_every_key_when_all_comments_are_removed(site: Site) -> None:
    site.write(re.sub(r"^#(?=[a-z_]+ = )", "", example(), flags=re.MULTILINE))
    config = site.load()
    assert all(config.origin(key) != "default" for key in KEYS)
    policy = dataclasses.replace(config.policy, full_download_day=None, full_download_hours=None)
    assert policy == Config().policy


def test_page_names_every_option_and_variable() -> None:
    for option in OPTIONS:
        assert f"`--{option.replace('_', '-')}`" in PAGE
    for variable in (*VARIABLES, "SMKI_SYNC_CONFIG", "SMKI_SYNC_PASSWORD", "SMKI_SYNC_KEY_PASSPHRASE"):
        assert f"`{variable}`" in PAGE


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_toml_value_can_be_read_back(text: str) -> None:
    assert tomllib.loads(f"x = {toml_value(text)}") == {"x": text}


def test_importing_the_package_loads_no_slow_library() -> None:
    slow = "{'typer', 'rich', 'paramiko', 'lxml', 'apsw', 'cryptography', 'sqlite_utils'}"
    program = f"import sys, smki_sync.config; print(*sorted({slow} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""

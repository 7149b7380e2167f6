"""Whatever stands in a listing, a configuration file or a claim: an answer, or the named error."""

import tomllib
from base64 import b64encode
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.fuzz.mutations import corpus, fuzzing, mutated
from smki_sync.catalogue import named_inside, read_catalogue
from smki_sync.config.loader import Config, load
from smki_sync.errors import ConfigError
from smki_sync.model.certificate import Claims, Entry, Rejected
from smki_sync.model.extract import Extract, ExtractKind, RemoteFile, UnrecognisedFile
from smki_sync.records import DETAIL_LIMIT, PreParsed, finish_parse, parse_record, pre_parse

TOML = corpus("toml")
TOML_WORDS = [
    *(
        b"[policy]",
        b"[limits]\n",
        b"[[mirror]]\n",
        b"a.b = 1\n",
        b"= 1",
        b'"',
        b"'''",
        b"\r",
        b"\\u0000",
        b"nan",
    ),
    *(
        b"inf",
        b"-1",
        b"1e999",
        b"1979-05-27",
        b"{a = 1}",
        b"[1, 'a']",
        b"true",
        b"\xff",
        b"\xef\xbb\xbf",
        b"login_seconds = ",
    ),
    *(b"quarantine_share = ", b"99999999999999999999", b"\n" * 5, b"[repository.x]\n"),
]
NAMES = [
    *("SMKIKR_FULL_2026-11-15.xml.gz", "SMKIKR_DELT_2026-11-16.xml.gz", "SMKIKR_DELT_2026-02-30.xml.gz"),
    *("SMKIKR_ARL.crl.gz", ".SMKIKR_FULL_2026-11-15.xml.gz.x1", "SMKIKR_FULL_2026-11-15.xml.gz.part"),
]


def loaded(octets: bytes) -> Config | ConfigError:
    """What a machine with this file and nothing else is configured to do."""
    with TemporaryDirectory() as directory:
        place = Path(directory)
        file = place / "smki-sync.toml"
        file.write_bytes(octets)
        try:
            return load({"config": file}, {}, cwd=place, user_dir=place / "no", system_file=place / "none")
        except ConfigError as error:
            return error


@pytest.mark.parametrize("name", TOML)
def test_a_file_of_the_corpus_is_taken_or_refused_as_its_name_says(name: str) -> None:
    assert isinstance(loaded(TOML[name]), Config) == (".sound." in name)


@fuzzing
@given(mutated(list(TOML.values()), TOML_WORDS))
def test_a_mutated_configuration_is_taken_or_refused_with_its_name(octets: bytes) -> None:
    found = loaded(octets)
    if isinstance(found, ConfigError):
        assert "smki-sync.toml" in found.message
        assert found.hint
        return
    tomllib.loads(octets.decode("utf-8-sig"))  # what was taken is TOML
    found.reader_limits()
    found.policy.change_limits()
    found.policy.planner_policy()
    found.limits.source_limits()
    found.repository.file_names()


names = st.one_of(
    st.text(max_size=60),
    mutated([name.encode() for name in NAMES], [b"/", b"\\", b"\0", b"..", b".gz", b"2026-13-01"]).map(
        lambda octets: octets.decode("utf-8", "surrogateescape")
    ),
)


@fuzzing
@given(st.lists(st.builds(RemoteFile, name=names, size=st.integers(-1, 1 << 60)), max_size=12))
def test_a_listing_of_any_names_comes_out_whole_and_once(files: list[RemoteFile]) -> None:
    found = read_catalogue(files)
    out: list[Extract | RemoteFile | UnrecognisedFile] = [
        *found.fulls,
        *found.deltas,
        *found.companions,
        *found.strangers,
    ]
    assert Counter(one.name for one in out) == Counter(file.name for file in files)
    for extracts in (found.fulls, found.deltas):
        days = [extract.day for extract in extracts]
        assert days == sorted(set(days))
    assert all("/" not in extract.name and extract.size > 0 for extract in (*found.fulls, *found.deltas))


@fuzzing
@given(names)
def test_any_inner_name_means_an_extract_or_nothing(name: str) -> None:
    meant = named_inside(name)
    assert meant is None or (isinstance(meant[0], ExtractKind) and meant[1].isoformat() in name)


claims = st.builds(
    Claims,
    name=st.none() | st.text(max_size=30),
    serial=st.none() | st.text(max_size=40),
    status=st.none() | st.sampled_from(list("PINERX ")) | st.text(max_size=3),
    role=st.none() | st.text(max_size=4),
    usage=st.none() | st.sampled_from(["DS", "KA", "ds"]) | st.text(max_size=3),
    manufacturing=st.none() | st.sampled_from(["true", "FALSE", "1"]) | st.text(max_size=5),
    body=st.none()
    | st.text(max_size=80)
    | st.binary(max_size=60).map(lambda octets: b64encode(octets).decode()),
)


@fuzzing
@given(claims)
def test_any_claims_are_understood_or_rejected_with_a_short_reason(said: Claims) -> None:
    found = parse_record(1, said)
    assert isinstance(found, Entry | Rejected)
    if isinstance(found, Rejected):
        assert 0 < len(found.detail) <= DETAIL_LIMIT
    sifted = pre_parse(1, said)
    assert (finish_parse(sifted) if isinstance(sifted, PreParsed) else sifted) == found

"""Stories of listings: what is an extract, what is not, and why."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smki_sync.catalogue import DEFAULT_NAMES, FileNames, named_inside, read_catalogue
from smki_sync.model.extract import Catalogue, ExtractKind, RemoteFile, UnrecognisedFile, UnrecognisedReason

FULL = "SMKIKR_FULL_2026-11-15.xml.gz"
DELTA = "SMKIKR_DELT_2026-11-16.xml.gz"


def listing(*names: str, size: int = 1) -> list[RemoteFile]:
    return [RemoteFile(name=name, size=size) for name in names]


def only_stranger(name: str, *, size: int = 1, names: FileNames = DEFAULT_NAMES) -> UnrecognisedReason:
    catalogue = read_catalogue(listing(name, size=size), names)
    assert catalogue == Catalogue(strangers=catalogue.strangers)
    (stranger,) = catalogue.strangers
    assert stranger.name == name
    return stranger.why


def everything(catalogue: Catalogue) -> list[str]:
    parts = (catalogue.fulls, catalogue.deltas, catalogue.companions, catalogue.strangers)
    return sorted(item.name for part in parts for item in part)


def test_an_empty_listing_is_an_empty_catalogue() -> None:
    assert read_catalogue([]) == Catalogue()


@pytest.mark.parametrize(
    ("name", "reason", "day"),
    [
        (FULL, UnrecognisedReason.SYMBOLIC_LINK, date(2026, 11, 15)),
        (DELTA, UnrecognisedReason.SIZE_UNKNOWN, date(2026, 11, 16)),
        ("SMKI_ORG_ARL.gz", UnrecognisedReason.NOT_A_FILE, None),
        ("notes.sha256", UnrecognisedReason.CHECKSUM_UNREADABLE, None),
    ],
)
def test_file_that_cannot_be_used_is_reported_with_the_reason(
    name: str, reason: UnrecognisedReason, day: date | None
) -> None:
    catalogue = read_catalogue([RemoteFile(name=name, size=0, unusable=reason)])
    assert catalogue == Catalogue(strangers=(UnrecognisedFile(name=name, why=reason, day=day),))


def test_unknown_name_that_is_no_file_is_ignored() -> None:
    other = RemoteFile(name="lost+found", size=0, unusable=UnrecognisedReason.NOT_A_FILE)
    assert read_catalogue([other]) == Catalogue()


def test_an_extract_keeps_what_the_listing_says_of_its_file() -> None:
    modified = datetime(2026, 11, 16, 4, 30, tzinfo=UTC)
    catalogue = read_catalogue([RemoteFile(name=DELTA, size=4711, modified=modified)])
    (delta,) = catalogue.deltas
    assert (delta.kind, delta.day) == (ExtractKind.DELTA, date(2026, 11, 16))
    assert (delta.name, delta.size, delta.modified) == (DELTA, 4711, modified)
    assert not catalogue.fulls


def test_extracts_come_in_order_of_date_whatever_the_order_of_the_listing() -> None:
    days = ["2026-12-01", "2025-12-31", "2026-11-30"]
    files = listing(*(t.replace("{date}", d) for d in days for t in (FileNames().full, FileNames().delta)))
    catalogue = read_catalogue(files)
    in_order = [date(2025, 12, 31), date(2026, 11, 30), date(2026, 12, 1)]
    assert [e.day for e in catalogue.fulls] == in_order
    assert [e.day for e in catalogue.deltas] == in_order
    assert {e.kind for e in catalogue.fulls} == {ExtractKind.FULL}
    assert read_catalogue(reversed(files)) == catalogue


@pytest.mark.parametrize(
    "name",
    ["SMKI_ORG_ARL.gz", "smki-org-crl-2026.gz", "AnchorSlots_North.xml.gz", "device_slot_csr.gz"],
)
def test_a_companion_is_known_by_its_pattern_in_any_letter_case(name: str) -> None:
    catalogue = read_catalogue(listing(name))
    assert [c.name for c in catalogue.companions] == [name]
    assert not catalogue.strangers


def test_a_companion_may_be_empty_because_it_is_not_taken_for_an_extract() -> None:
    assert [c.size for c in read_catalogue(listing("CRL.gz", size=0)).companions] == [0]


@pytest.mark.parametrize(
    "name",
    [
        "README.txt",
        "",
        "SMKIKR_FULL_2026-11-15.xml",
        "SMKIKR_FULL_2026-11-15.xml.gz\n",
        "SMKIKR_FULL_2026-11-15_xml.gz",
        "SMKIKR_FULL_2026-11-15.xml.gz.sha256",
        "SMKIKR_FULL_20261115.xml.gz",
        "SMKIKR_FULL_2026-1-15.xml.gz",
        "SMKIKR_FULL_2026-11-015.xml.gz",
        "xSMKIKR_FULL_2026-11-15.xml.gz",
        "SMKIKR_FULL_{date}.xml.gz",
    ],
)
def test_a_name_that_is_nearly_an_extracts_is_unknown(name: str) -> None:
    assert only_stranger(name) is UnrecognisedReason.UNKNOWN


@pytest.mark.parametrize(
    "name",
    [
        "SMKIKR_FULL_٢٠٢٦-11-15.xml.gz",  # Arabic-Indic digits
        "SMKIKR_FULL_2026-11-1５.xml.gz",  # noqa: RUF001 - a full-width digit is the point
        "\u017fMKIKR_FULL_2026-11-15.xml.gz",  # the long s, which upper-cases to S
        "SM\u212aIKR_FULL_2026-11-15.xml.gz",  # the Kelvin sign, which lower-cases to k
        "SMKIKR_FULL_2026\u201011\u201015.xml.gz",
    ],
)
def test_only_ascii_makes_an_extracts_name(name: str) -> None:
    assert only_stranger(name) is UnrecognisedReason.UNKNOWN


@pytest.mark.parametrize("path", ["in/", "../", "/", "..\\", "C:\\", "\0"])
@pytest.mark.parametrize("name", [FULL, "CRL.gz", f".{DELTA}"])
def test_a_name_with_a_path_is_neither_extract_nor_companion(path: str, name: str) -> None:
    assert only_stranger(path + name) is UnrecognisedReason.UNKNOWN


@pytest.mark.parametrize(
    "day",
    [
        "2026-02-30",
        "2026-13-01",
        "2026-00-10",
        "2026-11-00",
        "2025-02-29",
        "0000-01-01",
        "1999-12-31",
        "3000-01-01",
    ],
)
@pytest.mark.parametrize("kind", ExtractKind)
def test_an_impossible_date_is_named_as_such(kind: ExtractKind, day: str) -> None:
    name = FileNames().template(kind).replace("{date}", day)
    assert only_stranger(name) is UnrecognisedReason.IMPOSSIBLE_DATE


@pytest.mark.parametrize("day", ["2000-01-01", "2024-02-29", "2999-12-31"])
def test_a_possible_date_is_an_extract_however_far_away(day: str) -> None:
    (full,) = read_catalogue(listing(f"SMKIKR_FULL_{day}.xml.gz")).fulls
    assert full.day.isoformat() == day


@pytest.mark.parametrize("extract", [FULL, DELTA, FULL.upper(), "SMKIKR_FULL_2026-02-30.xml.gz"])
@pytest.mark.parametrize("suffix", ["part", "tmp", "filepart", "partial", "writing", "PART"])
def test_a_temporary_suffix_makes_an_extract_half_written(extract: str, suffix: str) -> None:
    assert only_stranger(f"{extract}.{suffix}") is UnrecognisedReason.HALF_WRITTEN


@pytest.mark.parametrize("name", [f".{FULL}", f".{DELTA}", f".{FULL}.x7Yq2", f".{FULL}.part"])
def test_a_hidden_extract_is_half_written(name: str) -> None:
    assert only_stranger(name) is UnrecognisedReason.HALF_WRITTEN


def test_another_hidden_or_temporary_file_is_only_unknown() -> None:
    assert only_stranger(".bashrc") is UnrecognisedReason.UNKNOWN
    assert only_stranger("upload.part") is UnrecognisedReason.UNKNOWN


@pytest.mark.parametrize("size", [0, -1])
def test_an_empty_file_is_no_extract(size: int) -> None:
    assert only_stranger(FULL, size=size) is UnrecognisedReason.EMPTY


def test_optical_media_may_write_the_names_in_upper_case() -> None:
    (full,) = read_catalogue(listing(FULL.upper())).fulls
    assert full.name == FULL.upper()


@pytest.mark.parametrize("reverse", [False, True])
def test_of_two_names_for_one_extract_the_one_like_the_template_is_taken(*, reverse: bool) -> None:
    files = [RemoteFile(name=FULL.upper(), size=9), RemoteFile(name=FULL, size=5)]
    catalogue = read_catalogue(files[::-1] if reverse else files)
    assert [(f.name, f.size) for f in catalogue.fulls] == [(FULL, 5)]
    assert catalogue.strangers == (UnrecognisedFile(name=FULL.upper(), why=UnrecognisedReason.TWICE),)


def test_of_two_inexact_names_one_is_taken_whatever_their_order() -> None:
    files = listing(FULL.lower(), FULL.upper(), FULL.title())
    catalogue = read_catalogue(files)
    assert catalogue == read_catalogue(files[::-1])
    assert len(catalogue.fulls) == 1
    assert [s.why for s in catalogue.strangers] == [UnrecognisedReason.TWICE] * 2


def test_an_empty_file_does_not_displace_its_namesake() -> None:
    files = [RemoteFile(name=FULL, size=0), RemoteFile(name=FULL.upper(), size=9)]
    catalogue = read_catalogue(files)
    assert [f.name for f in catalogue.fulls] == [FULL.upper()]
    empty = UnrecognisedFile(name=FULL, why=UnrecognisedReason.EMPTY, day=date(2026, 11, 15))
    assert catalogue.strangers == (empty,)


def test_a_full_and_a_delta_of_one_date_do_not_displace_each_other() -> None:
    catalogue = read_catalogue(listing(FULL, DELTA.replace("16", "15")))
    assert len(catalogue.fulls) == len(catalogue.deltas) == 1
    assert not catalogue.strangers


def test_other_templates_and_patterns_can_be_configured() -> None:
    names = FileNames(full="F-{date}+.gz", delta="{date}", companions=(), arl="A", crl="C", slots=())
    catalogue = read_catalogue(listing("F-2026-11-15+.gz", "2026-11-16", FULL, "CRL.gz"), names)
    assert [e.name for e in (*catalogue.fulls, *catalogue.deltas)] == ["F-2026-11-15+.gz", "2026-11-16"]
    assert [s.name for s in catalogue.strangers] == ["CRL.gz", FULL]
    assert not catalogue.companions


def test_an_extract_is_never_taken_for_a_companion() -> None:
    names = FileNames(companions=("*",))
    catalogue = read_catalogue(
        listing(FULL, f"{DELTA}.part", "SMKIKR_DELT_2026-02-30.xml.gz", "notes"), names
    )
    assert [c.name for c in catalogue.companions] == ["notes"]
    assert [f.name for f in catalogue.fulls] == [FULL]


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("SMKIKR_FULL.xml.gz", "exactly once"),
        ("{date}_{date}.xml.gz", "exactly once"),
        ("", "exactly once"),
        ("{DATE}.gz", "exactly once"),
        ("{date}_{name}.gz", "no field but"),
        ("{date}}.gz", "no field but"),
        ("daily/{date}.gz", "without a directory"),
        ("daily\\{date}.gz", "without a directory"),
    ],
)
def test_a_bad_template_says_what_is_wrong_with_it(template: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as full:
        FileNames(full=template)
    assert "full template" in str(full.value)
    with pytest.raises(ValueError, match=complaint) as delta:
        FileNames(delta=template)
    assert "delta template" in str(delta.value)


def test_fulls_and_deltas_cannot_share_a_template() -> None:
    with pytest.raises(ValueError, match="cannot both"):
        FileNames(full="A{date}", delta="a{date}")


PIECES = st.sampled_from(
    [
        "SMKIKR_",
        "FULL_",
        "DELT_",
        "full_",
        "2026-11-15",
        "2026-02-30",
        ".xml",
        ".gz",
        ".part",
        ".",
        "CRL",
        "/",
        "é",
        "\n",
    ]
)
NAMES = st.one_of(
    st.lists(PIECES, max_size=8).map("".join), st.sampled_from([FULL, DELTA, FULL.upper()]), st.text()
)
FILES = st.lists(st.builds(RemoteFile, name=NAMES, size=st.integers(0, 3)), max_size=12)


@settings(deadline=None)
@given(st.data(), FILES)
def test_every_file_comes_out_once_and_the_order_of_the_listing_does_not_matter(
    data: st.DataObject, files: list[RemoteFile]
) -> None:
    catalogue = read_catalogue(files)
    assert everything(catalogue) == sorted(file.name for file in files)
    assert read_catalogue(data.draw(st.permutations(files))) == catalogue
    for extracts in (catalogue.fulls, catalogue.deltas):
        days = [e.day for e in extracts]
        assert days == sorted(set(days))
        assert all(e.size > 0 for e in extracts)


@pytest.mark.parametrize(
    ("inner", "meant"),
    [
        ("SMKIKR_FULL_2026-11-15.xml", (ExtractKind.FULL, date(2026, 11, 15))),
        ("SMKIKR_DELT_2026-11-16.xml", (ExtractKind.DELTA, date(2026, 11, 16))),
        ("SMKIKR_DELT_2026-11-16.xml.gz", (ExtractKind.DELTA, date(2026, 11, 16))),
        ("smkikr_delt_2026-11-16.XML", (ExtractKind.DELTA, date(2026, 11, 16))),
        ("a/b/SMKIKR_FULL_2026-11-15.xml", (ExtractKind.FULL, date(2026, 11, 15))),
        ("C:\\out\\SMKIKR_FULL_2026-11-15.xml", (ExtractKind.FULL, date(2026, 11, 15))),
        ("SMKIKR_FULL_2026-02-30.xml", None),
        ("SMKIKR_FULL_2026-11-15.xml/x", None),
        ("SMKIKR_FULL_2026-11-15", None),
        ("extract.xml", None),
        ("", None),
    ],
)
def test_a_name_inside_a_gz_means_the_extract_that_it_is_written_like(
    inner: str, meant: tuple[ExtractKind, date] | None
) -> None:
    assert named_inside(inner) == meant


def test_a_template_without_the_ending_of_a_packed_file_is_its_own_inner_name() -> None:
    names = FileNames(full="F-{date}", delta="D-{date}.GZ")
    assert named_inside("F-2026-11-15", names) == (ExtractKind.FULL, date(2026, 11, 15))
    assert named_inside("F-2026-11-15.gz", names) is None
    assert named_inside("D-2026-11-15", names) == (ExtractKind.DELTA, date(2026, 11, 15))
    assert named_inside("D-2026-11-15.gz", names) == (ExtractKind.DELTA, date(2026, 11, 15))


def test_a_template_may_have_any_letter() -> None:
    names = FileNames(full="XYZ-{date}.xml.gz", delta="ABC-{date}.xml.gz")
    assert [full.name for full in read_catalogue(listing("XYZ-2026-11-15.xml.gz"), names).fulls] == [
        "XYZ-2026-11-15.xml.gz"
    ]

"""Anchor slots: regions by name, what they may differ in, what a publication changed; names of lists."""

import pytest
from support.x509_builders import REAL

from smki_sync.catalogue import FileNames, OfferedList, OfferedSlots, read_catalogue, read_offered, region_of
from smki_sync.model.extract import ListKind, RemoteFile
from smki_sync.trust.anchor_slots import SlotCertificate, SlotChanges, changes, differences, slot_of


def one(name: str, role: int | None = 1) -> SlotCertificate:
    return SlotCertificate(
        serial=name, issuer="CN=I", subject="", role=role, usage="DS", sha256=f"hash of {name}", der=b""
    )


ROOT, ACB, NORTH_WAN, SOUTH_WAN = one("A0", 0), one("A4", 4), one("N6", 6), one("S6", 6)


def test_differences_ignores_the_wan_provider() -> None:
    assert differences({"NORTH": [ROOT, ACB, NORTH_WAN], "SOUTH": [ACB, ROOT, SOUTH_WAN]}) == ()
    assert differences({}) == differences({"NORTH": [ROOT]}) == ()


def test_differences_finds_a_certificate_of_one_region() -> None:
    supplier, odd = one("B2", 2), one("C9", None)
    found = differences({"S": [ROOT], "N": [ROOT, supplier, odd], "C": [ROOT, odd]})
    assert [(d.certificate, d.present, d.absent) for d in found] == [
        (odd, ("C", "N"), ("S",)),
        (supplier, ("N",), ("C", "S")),
    ]
    assert [d.certificate.label for d in found] == ["no role C9", "supplier B2"]
    assert one("D1", 99).label == "role 99 D1"


def test_changes_compares_two_publications() -> None:
    assert changes([ROOT, NORTH_WAN], [ACB, ROOT]) == SlotChanges(added=(ACB,), removed=(NORTH_WAN,))
    assert changes([], []) == SlotChanges()


@pytest.mark.parametrize(
    ("name", "pattern", "region"),
    [
        ("SMKIKR_ANCHOR_SLOTS_NORTH.xml.gz", FileNames().slots[0], "NORTH"),
        ("smkikr_anchor_slots_Central_South.XML.GZ", FileNames().slots[0], "Central_South"),
        ("slots-west.gz", "slots-{region}.gz", "west"),
        ("slots-west.gz", "slots-*.gz", "slots-west"),
        ("slots-west.xml", "slots-*.gz", None),
        ("slots-.gz", "slots-{region}.gz", None),
    ],
)
def test_region_of_reads_the_name(name: str, pattern: str, region: str | None) -> None:
    assert region_of(name, pattern) == region


def test_read_offered_recognises_companions_by_name() -> None:
    names = ("SMKIKR_ARL.crl.gz", "SMKIKR_CRL.crl.gz", "SMKIKR_ANCHOR_SLOTS_NORTH.xml.gz", "OTHER_SLOT.gz")
    files = {name: RemoteFile(name=name, size=9) for name in names}
    assert read_offered(files.values(), FileNames()) == (
        OfferedList(kind=ListKind.ARL, file=files[names[0]]),
        OfferedList(kind=ListKind.CRL, file=files[names[1]]),
        OfferedSlots(region="NORTH", file=files[names[2]]),
    )


def test_read_catalogue_recognises_configured_names() -> None:
    names = FileNames(companions=(), arl="gone-authorities.gz", crl="gone.gz", slots=("base-{region}.gz",))
    files = [RemoteFile(name=n, size=9) for n in ("gone-authorities.gz", "gone.gz", "base-n.gz", "x.gz")]
    catalogue = read_catalogue(files, names)
    assert [file.name for file in catalogue.companions] == ["base-n.gz", "gone-authorities.gz", "gone.gz"]
    assert [stranger.name for stranger in catalogue.strangers] == ["x.gz"]


def test_slot_of_reads_a_certificate() -> None:
    slot = slot_of(REAL[12])
    assert (slot.role, slot.subject, slot.der) == (7, "CN=Z1,OU=07", REAL[12])
    with pytest.raises(ValueError, match="cut off"):
        slot_of(b"")

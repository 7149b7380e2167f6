"""`watch`, `find --mine` and the notice of a sync: what happened to our certificates and authorities."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from support.cli import Shell
from support.list_builders import arrival, revoke
from support.mirror_builders import ISSUER, apply, build, entry, eui_of, november, serial_of
from support.party import shell

from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.model.certificate import Entry, Kind, Usage
from smki_sync.simulator.repository import Repository

OURS, OTHER = eui_of(1), eui_of(2)
TODAY = "2026-11-20"


def own(n: int, status: str = "I", *, start: str = "2025-11-01", end: str = "9999-12-31") -> Entry:
    return lived(entry(n, status, kind=Kind.ORGANISATION, role=2, eui=OURS), start, end)


def lived(one: Entry, start: str, end: str) -> Entry:
    first, last = (_seconds(day) for day in (start, end))
    return one._replace(facts=one.facts._replace(not_before=first, not_after=last))


def _seconds(day: str) -> int:
    return (date.fromisoformat(day) - date(1970, 1, 1)).days * 86_400


def authority(status: str = "I") -> Entry:
    return entry(
        50, status, kind=Kind.OCA, role=7, usage=None, subject=ISSUER, eui=eui_of(50), issuer="CN=ROOT"
    )


class Party:
    """A mirror whose days a test writes, and its prompt."""

    def __init__(self, place: Path, *first: Entry) -> None:
        self.directory = MirrorDirectory(place / "mirror")
        self.directory.prepare()
        generation = self.directory.next_generation()
        build(generation, [*first, entry(2, kind=Kind.ORGANISATION, role=2, eui=OTHER), authority()])
        self.directory.publish(generation)
        self.ask = shell(place, TODAY)
        with (place / "smki-sync.toml").open("a") as file:
            file.write(f'[party]\neuis = ["{OURS.lower()}"]\n')

    def day(self, day: int, *records: Entry) -> None:
        apply(self.current, november(day), records)

    @property
    def current(self) -> Path:
        generation = self.directory.current()
        assert generation
        return generation

    def watch(self, *words: str, code: int) -> dict[str, Any]:
        ran = self.ask("watch", *words, "--json")
        assert ran.code == code, ran.err
        return ran.document

    def notices(self) -> set[str]:
        ran = self.ask("watch", "--json")
        names = {notice["name"] for notice in ran.document["notices"]}
        assert ran.code == (3 if names else 0)
        return names


@pytest.fixture
def party(tmp_path: Path) -> Party:
    """We have one certificate; the first run has accepted what there was."""
    made = Party(tmp_path, own(1))
    assert made.notices() == set()
    return made


def test_first_run_accepts_what_there_is(party: Party) -> None:
    document = party.watch(code=0)
    assert (document["schema"], document["outcome"]) == ("smki-sync/watch/1", "current")
    assert [c["serial"] for c in document["certificates"]] == [serial_of(1)]
    assert [c["subject"] for c in document["authorities"]] == [ISSUER]


def test_new_certificate_of_ours_is_a_notice_until_accepted(party: Party) -> None:
    party.day(10, own(3, start="2024-01-01"), entry(4, kind=Kind.ORGANISATION, role=2, eui=OTHER))
    new = f"new:{serial_of(3)}"
    assert new in party.notices()
    assert not any(serial_of(4) in name for name in party.notices())
    party.watch("--accept", new, code=3)  # the certificate is also replaced by a later one
    assert new not in party.notices()


def test_accepting_new_does_not_hide_a_later_revocation(party: Party) -> None:
    party.day(10, own(3))
    party.watch("--accept", "all", code=0)
    party.day(11, own(3, "R"))
    assert f"revoked:{serial_of(3)}" in party.notices()
    party.watch("--accept", f"revoked:{serial_of(3)}", code=0)
    assert party.notices() == set()


def test_revocation_by_a_list_is_a_notice(party: Party) -> None:
    revoke(party.current, arrival(1, next_update=None))
    assert f"revoked:{serial_of(1)}" in party.notices()


def test_status_not_in_use_is_a_notice(party: Party) -> None:
    party.day(10, own(1, "N"))
    assert party.notices() == {f"not-in-use:{serial_of(1)}"}


def test_renewed_certificate_is_replaced(party: Party) -> None:
    party.day(10, own(3, start="2026-11-01"))
    assert party.notices() == {f"new:{serial_of(3)}", f"replaced:{serial_of(1)}"}


def test_key_agreement_is_replaced_only_by_the_same_key(tmp_path: Path) -> None:
    def agreement(n: int, start: str, ski: int) -> Entry:
        made = own(n, start=start, end="2026-12-01")._replace(usage=Usage.KEY_AGREEMENT)
        return made._replace(facts=made.facts._replace(ski=f"{ski:016X}", usage=Usage.KEY_AGREEMENT))  # type: ignore[arg-type]

    party = Party(tmp_path, agreement(1, "2025-01-01", 1), agreement(3, "2026-01-01", 3))
    assert party.notices() == {f"ending:{serial_of(1)}", f"ending:{serial_of(3)}"}


def test_end_is_a_notice_also_at_the_first_run(tmp_path: Path) -> None:
    soon, later = own(1, end="2027-01-10"), entry(5)
    party = Party(tmp_path, soon, later)
    assert party.notices() == {f"ending:{serial_of(1)}"}
    (notice,) = party.watch(code=3)["notices"]
    assert (notice["code"], notice["serial"], notice["eui"]) == ("ending", serial_of(1), OURS)
    with (tmp_path / "smki-sync.toml").open("a") as file:
        file.write("warn_days = 10\n")
    assert party.notices() == set()


def test_revoked_authority_is_a_notice_with_what_is_below_it(party: Party) -> None:
    party.day(10, authority("R"))
    document = party.watch(code=3)
    found = {notice["code"]: notice for notice in document["notices"]}
    assert set(found) == {"authority-revoked"}
    assert ISSUER in found["authority-revoked"]["message"]


def test_list_that_ends_soon_is_a_notice(party: Party) -> None:
    revoke(party.current, arrival(2, next_update=_seconds("2026-12-24")))
    assert party.notices() == {"list-ending:CRL.gz"}


def test_unknown_notice_cannot_be_accepted(party: Party) -> None:
    ran = party.ask("watch", "--accept", "new:ABC")
    assert (ran.code, "new:ABC" in ran.err) == (2, True)


def test_damaged_file_of_accepted_notices_hides_nothing(party: Party) -> None:
    (party.directory.root / "watch.json").write_text("{")
    assert f"new:{serial_of(1)}" in party.notices()


def test_text_shows_days_left(tmp_path: Path) -> None:
    ran = Party(tmp_path, own(1, end="2027-11-21")).ask("watch")
    assert ran.out.splitlines()[0] == "No notice is pending."
    assert "365 days left" in ran.out


def test_find_mine_lists_only_our_certificates(party: Party) -> None:
    ran = party.ask("find", "--mine", "--format", "table")
    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines()[1:]] == [OURS]


@pytest.mark.parametrize("words", [("watch",), ("find", "--mine")])
def test_party_must_be_configured(party: Party, words: tuple[str, ...]) -> None:
    file = party.ask.place / "smki-sync.toml"
    file.write_text(file.read_text().partition("[party]")[0])
    ran = party.ask(*words, "--json")
    assert (ran.code, ran.error["code"]) == (8, "party-not-configured")
    file.write_text(file.read_text() + '[party]\neuis = ["nonsense"]\n')
    ran = party.ask(*words, "--json")
    assert (ran.code, "party.euis" in ran.error["message"]) == (8, True)


def test_sync_ends_with_3_until_the_notice_is_accepted(original: Repository, tmp_path: Path) -> None:
    place = tmp_path
    (place / "smki-sync.toml").write_text(
        f'[repository]\nurl = "{original.path.as_uri()}"\n[mirror]\npath = "mirror"\n'
    )
    ask = Shell(place=place, today=date(2026, 11, 12))
    first = ask("sync", "--json")
    found = ask("find", "--kind", "organisation", "--json").document["certificates"]
    ours = next(c["eui"] for c in found if not c["not_after"].startswith("9999"))
    with (place / "smki-sync.toml").open("a") as file:
        file.write(f'[party]\neuis = ["{ours}"]\nwarn_days = 3650\n')
    noticed = ask("sync", "--json")
    codes = [one["code"] for one in noticed.document["attention"]]
    assert (noticed.code, codes.count("party")) == (3, 1)
    ask("watch", "--accept", "all")
    after = ask("sync", "--json")
    assert "party" not in [one["code"] for one in after.document["attention"]]
    assert first.code in {0, 3}

"""``changes``: what a consumer sees who keeps the last token, through gaps, resyncs and a new beginning."""

import csv
import io
import json
from pathlib import Path

import pytest
from support import plain_reader
from support.cli import Json, Ran, Shell
from support.mirror_copies import copy_mirror

from smki_sync.simulator.repository import Repository


def lines(ran: Ran) -> list[Json]:
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in ran.out.splitlines()]


@pytest.fixture
def first(ask: Shell) -> str:
    """The first date that the journal answers for."""
    said = ask("changes", "--since", "2020-01-01").err
    return said.split("`--since ")[1].split("`")[0]


def test_a_line_has_the_promised_fields_and_a_token(ask: Shell) -> None:
    found = lines(ask("changes", "--since", "0"))
    assert [one["sequence"] for one in found] == list(range(1, len(found) + 1))
    for one in found:
        assert list(one) == [
            *("sequence", "date", "change", "kind", "eui", "serial", "issuer", "from", "to", "file", "token")
        ]
        assert one["token"].endswith(f":{one['sequence']}")
    assert len({one["token"].partition(":")[0] for one in found}) == 1


def test_changes_with_certificates_adds_the_certificate_to_each_line(ask: Shell) -> None:
    found = lines(ask("changes", "--since", "0", "--with-certificates"))
    assert found
    for line in found:
        certificate = line.pop("certificate")
        assert [certificate[name] for name in ("serial", "issuer")] == [line["serial"], line["issuer"]]
        assert certificate["pem"].startswith("-----BEGIN CERTIFICATE-----")
    assert found == lines(ask("changes", "--since", "0"))
    ran = ask("changes", "--since", "0", "--with-certificates", "--format", "csv")
    assert (ran.code, ran.raw) == (2, b"")


def test_a_token_a_number_and_a_date_each_begin_where_they_say(ask: Shell, first: str) -> None:
    every = lines(ask("changes", "--since", "0"))
    assert lines(ask("changes", "--since", first)) == every
    middle = every[len(every) // 2]
    rest = [one for one in every if one["sequence"] > middle["sequence"]]
    assert lines(ask("changes", "--since", str(middle["sequence"]))) == rest
    assert lines(ask("changes", "--since", middle["token"])) == rest
    assert lines(ask("changes", "--since", "2026-11-11")) == every  # one sync of that day wrote all lines
    assert lines(ask("changes", "--since", "2026-11-12")) == []


def test_a_date_is_that_of_the_sync_and_not_that_of_the_file(
    smki: Shell, repository: Repository, own_mirror: Path
) -> None:
    def since(place: str) -> list[Json]:
        return lines(smki("changes", "--since", place, "--mirror", own_mirror))

    before = since("0")
    repository.advance(days=2)
    sync(smki, repository, own_mirror)
    every = since("0")
    later = every[len(before) :]
    assert every[: len(before)] == before
    assert {one["date"] for one in later} == {"2026-11-12", "2026-11-13"}
    with plain_reader.opened(own_mirror) as db:
        recorded = [day for (day,) in db.execute("SELECT date(recorded) FROM changes ORDER BY sequence")]
    assert recorded == ["2026-11-11"] * len(before) + ["2026-11-13"] * len(later)
    assert since("2026-11-11") == every
    assert since("2026-11-12") == since("2026-11-13") == later
    assert since("2026-11-14") == []


def test_nothing_new_is_no_line_and_no_failure(ask: Shell) -> None:
    last = lines(ask("changes", "--since", "0"))[-1]
    ran = ask("changes", "--since", last["token"])
    assert (ran.code, ran.raw, ran.err) == (0, b"", "")


def test_csv_has_the_same_fields_and_a_table_fits(ask: Shell) -> None:
    found = lines(ask("changes", "--since", "0"))
    rows = list(csv.DictReader(io.StringIO(ask("changes", "--since", "0", "--format", "csv").out)))
    assert [row["token"] for row in rows] == [one["token"] for one in found]
    assert rows[0].keys() == found[0].keys()
    table = ask("changes", "--since", "0", "--format", "table").out.splitlines()
    assert len(table) == len(found) + 1
    assert max(map(len, table)) <= 80


@pytest.mark.parametrize(
    ("since", "why"),
    [
        ("2020-01-01", "does not reach back"),
        ("999999", "has no line 999999 yet, its last is 17"),
        ("0123456789abcdef:1", "another journal"),
    ],
)
def test_where_lines_would_be_missing_the_answer_is_ten_and_nothing_else(
    ask: Shell, since: str, why: str
) -> None:
    ran = ask("changes", "--since", since)
    assert (ran.code, ran.raw) == (10, b"")
    assert why in " ".join(ran.err.split())
    assert "smki-sync export" in " ".join(ran.err.split())


@pytest.mark.parametrize("since", ["last week", "1:2", "2026-13-01", "20261110000000000000", "-1", "x" * 16])
def test_what_is_no_place_in_a_journal_is_a_usage_error(ask: Shell, since: str) -> None:
    ran = ask("changes", f"--since={since}")
    assert (ran.code, ran.raw) == (2, b"")


TOKEN = """
SELECT lineage || ':' || coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'change'), 0) FROM mirror
"""


class Consumer:
    """Another system: it took the mirror once, and has read nothing but the feed since."""

    def __init__(self, shell: Shell, mirror: Path) -> None:
        self.shell, self.mirror = shell, mirror
        self.read = 0
        self.take_all()

    def take_all(self) -> None:
        state = plain_reader.read(self.mirror)
        assert state is not None
        self.known = plain_reader.standings(state)
        with plain_reader.opened(self.mirror) as db:
            (self.token,) = db.execute(TOKEN).fetchone()

    def follow(self) -> int:
        """Read on, one line at a time, keeping the token of each; the number of lines."""
        found = lines(self.shell("changes", "--since", self.token, "--mirror", self.mirror))
        for one in found:
            key = (one["issuer"], one["serial"])
            line = plain_reader.Line(one["sequence"], one["date"], one["change"], key, one["from"], one["to"])
            self.known = plain_reader.replay(self.known, (line,))
            self.token = one["token"]
        return len(found)

    def equals_the_mirror(self) -> bool:
        state = plain_reader.read(self.mirror)
        return state is not None and self.known == plain_reader.standings(state)


@pytest.fixture
def consumer(smki: Shell, own_mirror: Path) -> Consumer:
    return Consumer(smki, own_mirror)


def sync(smki: Shell, repository: Repository, mirror: Path, *words: str, code: int = 0) -> str:
    """Sync on the repository's day; the reason of the plan. ``code``: 3 if the mirror is then unproven."""
    ran = smki(
        *("sync", "--mirror", mirror, "--source", repository.path.as_uri(), "--json", *words),
        SMKI_SYNC_TODAY=repository.today.isoformat(),
    )
    assert ran.code == code, ran.err
    return str(ran.document["plan"]["reason"])


def test_a_copy_kept_by_the_feed_alone_equals_the_mirror_across_gaps_and_resyncs(
    smki: Shell, repository: Repository, own_mirror: Path, consumer: Consumer
) -> None:
    reasons = []
    unproven = 3  # the deltas of the two days before the full have left the window
    for days, words, code in (
        *((3, (), 0), (12, (), 0), (1, (), 0), (16, (), unproven)),
        *((2, ("--full",), 0), (0, ("--full",), 0)),
    ):
        if days:
            repository.advance(days=days)
        reasons.append(sync(smki, repository, own_mirror, *words, code=code))
        assert consumer.follow() > 0 or not days
        assert consumer.equals_the_mirror()
        assert consumer.follow() == 0
    gap = "gap-beyond-window"
    assert reasons == ["deltas-available", gap, "deltas-available", gap, "requested", "requested"]


def test_a_consumer_of_a_journal_that_began_anew_is_told_and_takes_the_whole_once(
    smki: Shell, repository: Repository, own_mirror: Path, consumer: Consumer
) -> None:
    repository.advance(days=7)
    for generation in (own_mirror / "generations").glob("*.db"):
        generation.write_bytes(b"no database" * 1000)
    assert sync(smki, repository, own_mirror) == "mirror-damaged"
    ran = smki("changes", "--since", consumer.token, "--mirror", own_mirror)
    assert (ran.code, ran.raw) == (10, b"")
    consumer.take_all()
    repository.advance()
    sync(smki, repository, own_mirror)
    assert consumer.follow() > 0
    assert consumer.equals_the_mirror()


def test_lines_older_than_the_configured_days_leave_and_are_said_to_be_gone(
    smki: Shell, repository: Repository, own_mirror: Path, consumer: Consumer
) -> None:
    start = consumer.token
    repository.advance(days=2)
    (smki.place / "smki-sync.toml").write_text("[mirror]\nkeep_changes_days = 1\n")
    sync(smki, repository, own_mirror)
    kept = lines(smki("changes", "--since", repository.today.isoformat(), "--mirror", own_mirror))
    assert {one["date"] for one in kept} == {"2026-11-12", "2026-11-13"}  # both written on the last day
    lineage, _, last = start.partition(":")
    assert kept[0]["sequence"] == int(last) + 1
    assert lines(smki("changes", "--since", start, "--mirror", own_mirror)) == kept
    gone = smki("changes", "--since", f"{lineage}:{int(last) - 1}", "--mirror", own_mirror)
    assert (gone.code, gone.raw) == (10, b"")
    assert smki("changes", "--since", "0", "--mirror", own_mirror).code == 10
    copy_mirror(own_mirror, smki.place / "copy")
    assert lines(smki("changes", "--since", kept[0]["token"], "--mirror", "copy")) == kept[1:]

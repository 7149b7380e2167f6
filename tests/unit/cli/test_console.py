"""What is said on stderr while a run goes on: how much, how often, and never more than is safe."""

import errno
import io
import json
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from smki_sync.cli.console import event_reporter_on
from smki_sync.cli.event_log import PROGRESS_SECONDS, EventReporter, LineRateLimiter, Verbosity
from smki_sync.config.settings import LogFormat
from smki_sync.events import (
    Building,
    Committed,
    Detail,
    Downloading,
    Event,
    Listing,
    Logged,
    Planned,
    Reading,
    Restarted,
    Resumed,
    Retrying,
    Waiting,
)
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.model.plan import Action, Plan, Reason
from smki_sync.model.report import AppliedExtract, ChangeCounts, Notice, NoticeCode

FILE = "SMKIKR_FULL_2026-11-15.xml.gz"
FULL = Extract(kind=ExtractKind.FULL, day=date(2026, 11, 15), name=FILE, size=100_000_000)
PLANNED = Planned(plan=Plan(action=Action.FULL, reason=Reason.NO_MIRROR, full=FULL))
COMMITTED = Committed(
    applied=AppliedExtract(
        file=FILE,
        kind=ExtractKind.FULL,
        counts=ChangeCounts(records=1000, inserted=1000),
        bytes=9,
        sha256="",
        seconds=2,
    )
)
LATE = Logged(attention=Notice(code=NoticeCode.REPOSITORY_LATE, message="nothing new", hint="ask the DCC"))
ODD = Logged(attention=Notice(code=NoticeCode.STRANGE_NAMES, message="1 file left alone"))
DETAIL = Detail(text="aes128-gcm negotiated")
STORY: tuple[Event, ...] = (
    Listing(source="file:///media"),
    PLANNED,
    Building(file=FILE, step="indexes"),
    COMMITTED,
    LATE,
    ODD,
    DETAIL,
)


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Unplugged(io.StringIO):
    """A stream that nothing can be written to any more."""

    def __init__(self, fault: Exception, *, terminal: bool) -> None:
        super().__init__()
        self.attempts = 0
        self._fault = fault
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def write(self, _text: str) -> int:
        self.attempts += 1
        raise self._fault


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(autouse=True)
def colourful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


def said(*events: Event, volume: Verbosity = Verbosity.NORMAL, form: LogFormat = LogFormat.TEXT) -> list[str]:
    stream = io.StringIO()
    with event_reporter_on(stream, form=form, volume=volume, clock=HandClock()) as talk:
        for event in events:
            talk.emit(event)
    return stream.getvalue().splitlines()


def shown(*events: Event, clock: HandClock, step: float = 0) -> str:
    terminal = Terminal()
    with event_reporter_on(terminal, form=LogFormat.TEXT, volume=Verbosity.NORMAL, clock=clock) as talk:
        for event in events:
            talk.emit(event)
            clock.move(step)
    return terminal.getvalue()


def progress(talk: EventReporter, clock: HandClock, *, seconds: int) -> None:
    for done in range(0, seconds * 1_000_000, 1_000_000):
        talk.emit(Downloading(file=FILE, done=done, size=FULL.size))
        clock.move(1)


def test_each_decision_step_file_and_thing_to_know_is_one_line() -> None:
    assert said(*STORY) == [
        "Listing file:///media",
        f"Full resync: there is no mirror yet (no-mirror); {FILE}",
        f"{FILE}: indexes",
        f"Applied {FILE}: 1,000 records: 1,000 new, in 2.0 s",
        "ATTENTION repository-late: nothing new ask the DCC",
        "note strange-names: 1 file left alone",
    ]


def test_quiet_says_only_what_keeps_the_mirror_from_being_current() -> None:
    assert said(*STORY, volume=Verbosity.QUIET) == ["ATTENTION repository-late: nothing new ask the DCC"]


def test_verbose_says_the_details_too_and_nothing_else_more() -> None:
    assert said(*STORY, volume=Verbosity.VERBOSE) == [*said(*STORY), "aes128-gcm negotiated"]


TROUBLE: tuple[Event, ...] = (
    Resumed(file=FILE, done=40_000_000, size=100_000_000),
    Restarted(file=FILE, why="it is on offer with another size or time"),
    Retrying(code="stalled", message="nothing came", failed=2, attempts=6, pause=15.04),
    Waiting(file=FILE, message="the file has grown", pause=15.0),
)


def test_what_a_download_meets_is_said_as_it_happens() -> None:
    assert said(*TROUBLE) == [
        f"Resuming {FILE} at 40.0 MB of 100.0 MB",
        f"Restarting the download of {FILE}: it is on offer with another size or time",
        "nothing came (stalled, attempt 2 of 6). Next attempt in 15.0 s.",
        "the file has grown. Next check in 15.0 s.",
    ]
    assert said(*TROUBLE, volume=Verbosity.QUIET) == []


def test_a_log_has_what_a_download_meets_with_its_fields_and_a_level() -> None:
    lines = [json.loads(line) for line in said(*TROUBLE, form=LogFormat.JSON)]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("info", "resumed"),
        ("warning", "restarted"),
        ("warning", "retrying"),
        ("warning", "waiting"),
    ]
    assert (lines[2]["code"], lines[2]["failed"], lines[2]["pause"]) == ("stalled", 2, 15.04)


def test_a_step_that_is_announced_again_is_said_once() -> None:
    step = Building(file=FILE, step="indexes")
    assert len(said(step, step, Building(file=FILE, step="check"), step)) == 3


def test_without_a_terminal_progress_is_one_line_in_thirty_seconds(clock: HandClock) -> None:
    stream = io.StringIO()
    with event_reporter_on(stream, form=LogFormat.TEXT, volume=Verbosity.NORMAL, clock=clock) as talk:
        progress(talk, clock, seconds=75)
    assert stream.getvalue().splitlines() == [
        f"Downloading {FILE}: 30 % of 100.0 MB, 1.0 MB/s, 1 min left",
        f"Downloading {FILE}: 60 % of 100.0 MB, 1.0 MB/s, 40.0 s left",
    ]


def test_a_run_shorter_than_thirty_seconds_says_no_progress(clock: HandClock) -> None:
    stream = io.StringIO()
    with event_reporter_on(stream, form=LogFormat.TEXT, volume=Verbosity.NORMAL, clock=clock) as talk:
        progress(talk, clock, seconds=int(PROGRESS_SECONDS))
    assert stream.getvalue() == ""


def test_reading_tells_its_records(clock: HandClock) -> None:
    stream = io.StringIO()
    with event_reporter_on(stream, form=LogFormat.TEXT, volume=Verbosity.NORMAL, clock=clock) as talk:
        talk.emit(Reading(file=FILE, records=0, done=0, size=0))
        clock.move(60)
        talk.emit(Reading(file=FILE, records=1_200_000, done=6_000_000, size=0))
    assert stream.getvalue() == f"Reading {FILE}: 1,200,000 records, 20,000 records/s\n"


def test_a_resumed_download_is_not_taken_for_a_fast_one(clock: HandClock) -> None:
    pace = LineRateLimiter(clock)
    pace.take(Downloading(file=FILE, done=50_000_000, size=FULL.size))
    clock.move(50)
    speed = pace.take(Downloading(file=FILE, done=75_000_000, size=FULL.size))
    assert speed is not None
    assert (speed.amount, speed.left) == (500_000, 50)


def test_a_phase_that_does_not_move_has_no_time_left(clock: HandClock) -> None:
    pace = LineRateLimiter(clock)
    clock.move(40)
    speed = pace.take(Downloading(file=FILE, done=5, size=10))
    assert speed is not None
    assert (speed.amount, speed.left) == (0, None)


def test_a_clock_that_is_set_back_does_not_silence_the_progress(clock: HandClock) -> None:
    pace = LineRateLimiter(clock)
    clock.move(-3600)
    assert pace.take(Downloading(file=FILE, done=5, size=10)) is not None


def test_a_name_from_outside_reaches_no_terminal_as_it_is(clock: HandClock) -> None:
    evil = "\x1b]0;owned\x07\n[red]x[/red]"
    written = r"\x1b]0;owned\x07\n[red]x[/red]"
    events = (Detail(text=evil), Building(file=evil, step=evil), Listing(source=evil))
    assert all(written in line for line in said(*events, volume=Verbosity.VERBOSE))
    assert len(said(*events, volume=Verbosity.VERBOSE)) == len(events)
    screen = shown(*events[1:], Downloading(file=evil, done=1, size=2), clock=clock)
    assert evil not in screen
    assert "\x07" not in screen
    assert f"Downloading {written}" in screen


def test_a_terminal_shows_a_bar_and_the_lines_above_it(clock: HandClock) -> None:
    bars = [Downloading(file=FILE, done=done, size=100) for done in (0, 25, 50)]
    screen = shown(*bars, LATE, clock=clock, step=1)
    assert f"Downloading {FILE}" in screen
    assert "25 %" in screen
    assert "50 %" in screen
    assert "ATTENTION repository-late" in screen
    assert "\x1b[?25h" in screen  # the cursor is back


def test_a_bar_is_gone_once_its_file_is_in_the_mirror(clock: HandClock) -> None:
    terminal = Terminal()
    with event_reporter_on(terminal, form=LogFormat.TEXT, volume=Verbosity.NORMAL, clock=clock) as talk:
        talk.emit(Reading(file=FILE, records=1, done=1, size=2))
        talk.emit(COMMITTED)
        terminal.truncate(0)
        talk.emit(Reading(file="next", records=1, done=1, size=2))
    assert "Reading next" in terminal.getvalue()
    assert f"Reading {FILE}" not in terminal.getvalue()


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(
    clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    screen = shown(*STORY, Downloading(file=FILE, done=1, size=2), clock=clock)
    assert screen.splitlines() == said(*STORY)


def test_no_color_takes_the_colours_and_leaves_the_words(
    clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    yellow = "\x1b[1;33m"
    assert yellow in shown(LATE, clock=clock)
    monkeypatch.setenv("NO_COLOR", "1")
    assert yellow not in shown(LATE, clock=clock)
    assert "ATTENTION repository-late" in shown(LATE, clock=clock)


def test_bars_leave_stdout_to_data(clock: HandClock, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    with event_reporter_on(terminal, form=LogFormat.TEXT, volume=Verbosity.NORMAL, clock=clock) as talk:
        talk.emit(Downloading(file=FILE, done=1, size=2))
        print('{"schema": 1}')  # noqa: T201 - what a command does on stdout
    assert capsys.readouterr().out == '{"schema": 1}\n'
    assert "schema" not in terminal.getvalue()


def test_a_log_line_is_one_json_object_with_time_level_and_event() -> None:
    lines = [json.loads(line) for line in said(*STORY, volume=Verbosity.VERBOSE, form=LogFormat.JSON)]
    assert {line["time"] for line in lines} == {"2026-11-22T06:00:00.000Z"}
    assert [(line["level"], line["event"]) for line in lines] == [
        ("info", "listing"),
        ("info", "planned"),
        ("info", "building"),
        ("info", "committed"),
        ("warning", "noted"),
        ("info", "noted"),
        ("debug", "detail"),
    ]
    assert lines[1]["reason"] == "no-mirror"
    assert lines[1]["full"] == FILE
    assert lines[3]["records"] == 1000
    assert (lines[4]["code"], lines[4]["hint"]) == ("repository-late", "ask the DCC")


def test_a_log_line_is_in_utc_wherever_the_clock_is() -> None:
    stream = io.StringIO()
    london = datetime(2026, 7, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    with event_reporter_on(
        stream, form=LogFormat.JSON, volume=Verbosity.NORMAL, clock=lambda: london
    ) as talk:
        talk.emit(LATE)
    assert json.loads(stream.getvalue())["time"] == "2026-06-30T23:30:00.000Z"


def test_a_collector_gets_progress_once_in_thirty_seconds_too(clock: HandClock) -> None:
    stream = io.StringIO()
    with event_reporter_on(stream, form=LogFormat.JSON, volume=Verbosity.NORMAL, clock=clock) as talk:
        progress(talk, clock, seconds=75)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["done"], line["size"]) for line in lines] == [
        ("fetching", 30_000_000, FULL.size),
        ("fetching", 60_000_000, FULL.size),
    ]


@pytest.mark.parametrize("form", LogFormat)
@pytest.mark.parametrize(
    "fault", [BrokenPipeError(), OSError(errno.ENOSPC, "disk full"), ValueError("closed")]
)
@pytest.mark.parametrize("terminal", [False, True])
def test_a_run_goes_on_when_nobody_can_read_what_it_says(
    form: LogFormat, fault: Exception, terminal: bool
) -> None:
    stream = Unplugged(fault, terminal=terminal)
    with event_reporter_on(stream, form=form, volume=Verbosity.VERBOSE) as talk:
        for event in (Downloading(file=FILE, done=1, size=2), *STORY):
            talk.emit(event)
    assert stream.attempts > 0

"""The client as the model drives it: its command line and its mirror, and nothing else of it.

Everything that would have to change with the client stands in this module. Commands run in this process,
through the entry that ``smki-sync`` has; a process for each would take longer than the commands.
"""

import contextlib
import gc
import io
import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from scenarios.merge_model.certificates import body_index, serial_index
from scenarios.merge_model.extracts import Extract, day_number, day_text
from scenarios.merge_model.mirrors import Line, News, Offer, Outcome, View
from scenarios.merge_model.reference import DEFAULT, Row
from scenarios.merge_model.world import Options
from smki_sync.cli import main

MANIFEST = ("manifest",)
"""The command that lists the files of a mirror, with their hashes."""

REHEARSE = ("restore", "--rehearse")
"""The command that restores into a temporary directory and compares."""


def configuration(options: Options, fallback: Path) -> str:
    """The model's fulls may lose many of their sixty certificates at once; and nobody expects lists."""
    lines = ["[trust]", "expect_lists = false", "[policy]", "max_shrink_share = 1.0"]
    if options.rule != DEFAULT:
        lines.append(f"full_overlap_days = {options.rule.overlap}")
        lines.append(f'verify = "{"new" if options.rule.verify else "off"}"')
    if options.reconcile:
        lines.append(f'reconcile = "{options.reconcile}"')
    if options.agreed_day:
        lines += [f'full_download_day = "{options.agreed_day}"', 'full_download_outside = "wait"']
    if options.fallback_lag is not None:
        lines += ["[repository]", f'fallbacks = ["{fallback.as_uri()}"]']
    return "\n".join(lines) + "\n"


_ROWS = "SELECT * FROM certificates"
_TOKEN = """
    SELECT lineage || ':' || coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'change'), 0) FROM mirror
"""
_RUNS = ("sync", "restore")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Document = Mapping[str, Any]


def run(*words: object, today: str, home: Path) -> tuple[int, str, str]:
    """Run one command as if in a process of its own: exit code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    variables = {
        "SMKI_SYNC_TODAY": today,
        "SMKI_SYNC_CONFIG": str(home / "smki-sync.toml"),
        "HOME": str(home),
    }
    with _surroundings(variables), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(word) for word in words])
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
    return code, out.getvalue(), err.getvalue()


@contextlib.contextmanager
def _surroundings(variables: Mapping[str, str]) -> Iterator[None]:
    """Set the variables of a command, and afterwards put back what it leaves in this process."""
    kept, handlers = dict(os.environ), {number: signal.getsignal(number) for number in _SIGNALS}
    for name in [name for name in os.environ if name.startswith(("SMKI_SYNC_", "XDG_"))]:
        del os.environ[name]
    os.environ.update(variables)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        os.environ.clear()
        os.environ.update(kept)
        for number, handler in handlers.items():
            signal.signal(number, handler)


class ClientMirror:
    """A mirror of the client in a directory of its own, and the directory that it is offered."""

    def __init__(self, place: Path, options: Options | None = None) -> None:
        self.place, self.options = place, options or Options()
        self.fallback = place / "fallback"
        self.directory, self.source = place / "mirror", place / "repository"
        self.source.mkdir(parents=True, exist_ok=True)
        self.fallback.mkdir(exist_ok=True)
        (place / "smki-sync.toml").write_text(configuration(self.options, self.fallback))
        self._files: dict[str, Extract] = {}
        self._today = ""
        self._was_told = True

    def copy(self, place: Path) -> "ClientMirror":
        """The same mirror once more, in another directory."""
        shutil.copytree(self.place, place, symlinks=True)
        other = ClientMirror(place, self.options)
        other._files, other._today = dict(self._files), self._today
        return other

    # What an operator does

    def sync(self, offer: Offer, day: int, *, full: bool = False, fallback: Offer | None = None) -> Outcome:
        self._publish(self.fallback, fallback or {}, day)
        return self._run_on(offer, day, "sync", *(["--full"] if full else []))

    def reconcile(self, offer: Offer, day: int, *, repair: bool = False) -> Outcome:
        return self._run_on(offer, day, "reconcile", *(["--repair"] if repair else []))

    def restore(self, offer: Offer, day: int, *, to: int | None = None) -> Outcome:
        return self._run_on(offer, day, "restore", *(["--to", day_text(to)] if to is not None else []))

    def rehearse(self, offer: Offer, day: int) -> Outcome:
        return self._run_on(offer, day, *REHEARSE)

    def back_up(self, day: int) -> Outcome:
        self._today = day_text(day)
        code, _, err = self._run("backup", "--force", self.place / "backup.db")
        return Outcome(exit=code, text=err)

    def accept(self, day: int) -> Outcome:
        self._today = day_text(day)
        code, _, err = self._run("quarantine", "--accept")
        return Outcome(exit=code, text=err)

    def put_back(self, *, alone: bool = True) -> None:
        """As the documentation says: a new directory, the copy in it, and a link; or in the old one."""
        if alone:
            shutil.rmtree(self.directory)
        else:
            shutil.rmtree(self.directory / "generations")
            (self.directory / "mirror.db").unlink()
        (self.directory / "generations").mkdir(parents=True, mode=0o750)
        shutil.copy(self.place / "backup.db", self.directory / "generations" / "000001.db")
        (self.directory / "mirror.db").symlink_to("generations/000001.db")

    def put_back_generation(self) -> None:
        """Link the generation before the current one."""
        current = (self.directory / "mirror.db").resolve()
        older = [one for one in sorted((self.directory / "generations").glob("*.db")) if one != current]
        (self.directory / "mirror.db").unlink()
        (self.directory / "mirror.db").symlink_to(f"generations/{older[-1].name}")

    def move_source(self) -> None:
        """Offer the same files under another address."""
        self.source = self.source.rename(self.place / "moved")

    # What a reader sees

    def view(self, day: int) -> View | None:
        self._today = day_text(day)
        if not (self.directory / "mirror.db").exists():
            return None
        status_exit, status = self._document("status")
        unproven = status.get("unproven")
        return View(
            position=day_number(status["position"]),
            base=day_number(status["last_full"]),
            used=() if self._was_told else self._known(self._document(*MANIFEST)[1]["files"]),
            rows=self._rows(),
            missing=None if unproven is None else tuple(map(day_number, unproven["missing"])),
            digest=status["digest"],
            status_exit=status_exit,
        )

    def token(self) -> str:
        """As the documentation of the feed has it for readers of the file."""
        with self._opened() as db:
            found: tuple[str] = db.execute(_TOKEN).fetchone()
        return found[0]

    def news_since_day(self, day: int) -> list[Line]:
        code, out, err = self._run("changes", "--since", day_text(day), json_document=False)
        assert code == 0, err
        return [_line(json.loads(one)) for one in out.splitlines()]

    def news(self, token: str) -> News:
        code, out, err = self._run("changes", "--since", token, json_document=False)
        if code == 10:
            return News(lines=None, token=self.token())
        assert code == 0, err
        told = [json.loads(line) for line in out.splitlines()]
        lines = tuple(map(_line, told))
        return News(lines=lines, token=told[-1]["token"] if told else token)

    # How

    def _run_on(self, offer: Offer, day: int, *words: str) -> Outcome:
        self._publish(self.source, offer, day)
        self._today = day_text(day)
        code, out, err = self._run(*words, "--quiet", "--source", self.source.as_uri())
        document = json.loads(out)
        is_run = words[0] in _RUNS and words != REHEARSE
        self._was_told = "applied" in document or not is_run
        position = document.get("position") if is_run else None
        return Outcome(
            exit=code,
            position=None if position is None else day_number(position),
            quarantined=document.get("quarantined") if is_run else None,
            applied=self._known(document.get("applied", ())),
            missing=tuple(map(day_number, document["plan"]["missing"])) if "plan" in document else None,
            codes=tuple(one["code"] for one in document.get("attention") or ()),
            text=err or _told(document),
        )

    def _publish(self, directory: Path, offer: Offer, day: int) -> None:
        """Make a directory what the offer is."""
        for path in directory.iterdir():
            if path.name not in offer:
                path.unlink()
        for name, extract in offer.items():
            self._files[extract.sha256] = extract
            path = directory / name
            if not path.exists() or path.read_bytes() != extract.content:
                path.write_bytes(extract.content)
                at = 1_740_000_000 + day * 86_400
                os.utime(path, (at, at))

    def _known(self, told: Any) -> tuple[Extract, ...]:  # noqa: ANN401 - a list from a JSON document
        return tuple(self._files[one["sha256"]] for one in told if one["sha256"] in self._files)

    def _document(self, *command: str) -> tuple[int, Document]:
        code, out, err = self._run(*command)
        document: Document = json.loads(out)
        assert "error" not in document, f"{command} ended with {code}: {err or out}"
        return code, document

    def _run(self, command: str, *words: object, json_document: bool = True) -> tuple[int, str, str]:
        extra = ("--json",) if json_document else ()
        return run(command, *words, "--mirror", self.directory, *extra, today=self._today, home=self.place)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The mirror for reading; no command has it open meanwhile."""
        uri = f"{(self.directory / 'mirror.db').as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as db:
            yield db

    def _rows(self) -> dict[int, Row]:
        """Every row of the view `certificates`."""
        with self._opened() as db:
            db.row_factory = sqlite3.Row
            found = [dict(one) for one in db.execute(_ROWS)]
        rows = {serial_index()[one["serial"]]: _row(one) for one in found}
        assert len(rows) == len(found), "an identity stands twice"
        return rows


def _line(one: Document) -> Line:
    number = serial_index()[one["serial"]]
    return Line(number=number, change=one["change"], before=one["from"], after=one["to"])


def _row(one: Mapping[str, Any]) -> Row:
    number, body = body_index()[one["der"]]
    assert serial_index()[one["serial"]] == number, "a body stands under another serial number"
    row = Row(
        status=one["status"],
        withdrawn=one["withdrawn"] is not None,
        manufacturing=None if one["manufacturing"] is None else bool(one["manufacturing"]),
        body=body,
        marked=bool(one.get("unproven", 0)),
    )
    assert bool(one["in_use"]) == row.in_use, f"in_use is {one['in_use']} where {row}"
    return row


def _told(document: Document) -> str:
    """What a document says for people."""
    if document.get("error"):
        return f"{document['error']['code']}: {document['error']['message']}"
    return ", ".join(one["code"] for one in document.get("attention", ()))

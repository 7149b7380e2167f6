"""The pages match the program: tables equal the code, links resolve, commands and queries work."""

import ast
import base64
import gzip
import json
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import closing
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from jsonschema import Draft202012Validator
from support.generators import generated_files
from support.markdown import DOCS, PAGES, ROOT, TOGETHER, commands, fences, name_of, prose
from test_architecture import ASIDE, LAYERS, LIBRARIES, PACKAGE

from documentation.marks import is_run
from smki_sync import errors
from smki_sync.cli import build
from smki_sync.cli.exit_codes import Exit, exit_of
from smki_sync.config.removed_keys import REMOVED_KEYS
from smki_sync.config.schema import KEYS, SECTIONS
from smki_sync.download.retry import RETRY_RULES
from smki_sync.errors import Fault
from smki_sync.mirror.schema import APPLICATION_ID, SCHEMA_VERSION
from smki_sync.model.certificate import Flag, Kind, RejectReason, Status, Usage
from smki_sync.model.extract import ListState, UnrecognisedReason
from smki_sync.model.plan import Action, Reason
from smki_sync.model.report import NoticeCode
from smki_sync.simulator.faults import Fault as SimulatedFault
from smki_sync.trust.profiles import CheckStep, FindingCode

SAMPLE = ROOT / "sample_data"

Row = list[str]


# Reading Markdown, as far as these pages use it.


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of one language."""
    return [fence.text for fence in fences(page) if fence.language == language]


def headings(page: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def section(page: str, heading: str) -> str:
    """Return the text from a heading to the next one of its level or above."""
    text = prose(DOCS / page)
    found = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert found, f"{page} has no heading {heading!r}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def tables(text: str) -> list[list[Row]]:
    """Return every table: its header, then its rows, as cells."""
    found: list[list[Row]] = []
    inside = False
    for line in text.splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        if not inside:
            found.append([])
        inside = True
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if set(line) - set("|-: "):
            found[-1].append(cells)
    return found


def rows(page: str, heading: str, *, table: int = 0) -> list[Row]:
    """Return the rows of a table below a heading, without its header."""
    return tables(section(page, heading))[table][1:]


def ticked(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def codes(page: str, heading: str, *, table: int = 0) -> list[str]:
    """Return the codes in the first column."""
    return [code for row in rows(page, heading, table=table) for code in ticked(row[0])]


# Links, names, paths.


def links(page: Path) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)]+)\)", prose(page)) if "://" not in link]


@pytest.mark.parametrize("page", TOGETHER, ids=name_of)
def test_internal_links_lead_to_a_page_and_a_heading(page: Path) -> None:
    for link in links(page):
        name, _, fragment = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if fragment:
            assert fragment in map(anchor, headings(target)), link


def test_index_links_to_every_page() -> None:
    reached = {(DOCS / link.partition("#")[0]).resolve() for link in links(DOCS / "index.md")}
    assert {page for page in PAGES if page.name != "index.md"} <= reached


@pytest.mark.parametrize("page", TOGETHER, ids=name_of)
def test_page_names_no_foreign_host_and_no_local_path(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    hosts = set(re.findall(r"https?://([^/\s)`\"]+)", text))
    assert hosts <= {"keepachangelog.com", "semver.org", "www.sqlite.org"}
    roots = set(re.findall(r"(?<![\w./:~)])/([a-z]+)/\w", text))
    assert roots <= {"backup", "dev", "etc", "media", "opt", "srv", "usr", "var"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_configuration_keys_and_modules_on_a_page_exist(page: Path) -> None:
    for word in ticked(prose(page)):
        top, _, _ = word.partition(".")
        if top in SECTIONS and re.fullmatch(r"[a-z]+\.(?!(db|html|py)$)[a-z_]+", word):
            removed = word in REMOVED_KEYS and page.parent.name == "decisions"
            assert word in KEYS or removed
        if re.fullmatch(r"(smki_sync|tests)/[\w/]+(\.py)?/?", word):
            assert (ROOT / word).exists(), word


# Commands.


def leaves() -> dict[str, Any]:
    """Every command by its words; ``Any``: typer's own click has no public types."""

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - as above
        below = getattr(command, "commands", {})
        for name, one in below.items():
            yield from walk(one, (*path, name))
        if not below:
            yield " ".join(path), command

    return dict(walk(typer.main.get_command(build()), ()))


COMMANDS = leaves()


def options_of(command: Any) -> set[str]:  # noqa: ANN401 - typer's own click has no public types
    return {name for p in command.params if p.param_type_name == "option" for name in p.opts}


def test_commands_page_has_one_section_per_command() -> None:
    shared = {"Commands", "smki-sync", "Shared options"}
    assert set(headings(DOCS / "commands.md")) - shared == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_page_lists_exactly_the_options_of(name: str) -> None:
    text = section("commands.md", name)
    own = [option for table in tables(text) for row in table[1:] for option in ticked(row[0])]
    shared = ticked(text.partition("[Shared options]")[2])
    written = [option for option in (*own, *shared) if option.startswith("-")]
    assert len(written) == len(set(written))
    short = {"-q", "-v"} - set(own)  # shared options are listed by their long names
    assert set(written) == options_of(COMMANDS[name]) - short
    assert set(shared) <= set(codes("commands.md", "Shared options"))


def test_commands_page_lists_the_options_of_the_program() -> None:
    assert set(codes("commands.md", "smki-sync")) == options_of(typer.main.get_command(build()))


def test_options_of_the_configuration_page_are_shared_options() -> None:
    """The page names the options that set a configuration key."""
    (options,) = re.findall(r"^1\. option: (.+)$", prose(DOCS / "configuration.md"), re.MULTILINE)
    assert set(ticked(options)) <= set(codes("commands.md", "Shared options"))


@pytest.mark.parametrize("name", generated_files())
def test_generated_file_is_up_to_date(name: str) -> None:
    """If this fails, run ``make generate``."""
    assert (ROOT / name).read_text(encoding="utf-8") == generated_files()[name]


def test_simulator_faults_are_documented() -> None:
    assert set(codes("contributing.md", "Simulate a Repository")) == {fault.value for fault in SimulatedFault}


def unrun_commands() -> list[tuple[str, str]]:
    """Return every command that is not run: its place and its words."""
    return [
        (command.where, command.line.removeprefix("smki-sync").replace("\\\n", " "))
        for page in TOGETHER
        for fence in fences(page)
        if fence.language == "console" and not is_run(fence)
        for command in commands(fence)
        if command.line.startswith("smki-sync ")
    ]


@pytest.mark.parametrize(("where", "line"), unrun_commands())
def test_command_that_is_not_run_parses(where: str, line: str) -> None:
    words = shlex.split(line.partition(" > ")[0], comments=True)
    if words == ["--version"]:
        return
    name = next((n for n in COMMANDS if words[: len(n.split())] == n.split()), None)
    assert name, where
    rest = words[len(name.split()) :]
    if rest == ["--help"]:
        return
    COMMANDS[name].make_context(name, rest)  # raises for an option or a value that does not exist


NO_COMMAND = ("smki-sync COMMAND", "smki-sync set digest", "smki-sync --")
"""How quoted text begins that is not about one command."""


@pytest.mark.parametrize("page", TOGETHER, ids=name_of)
def test_commands_and_options_in_a_sentence_exist(page: Path) -> None:
    for text in ticked(" ".join(prose(page).split())):
        if text.startswith("smki-sync --"):
            assert text.removeprefix("smki-sync ") in {*options_of(typer.main.get_command(build())), "--help"}
        if not text.startswith("smki-sync ") or text.startswith(NO_COMMAND):
            continue
        words = text.split()[1:]
        name = next((n for n in COMMANDS if words[: len(n.split())] == n.split()), None)
        assert name, text
        assert {word for word in words if word.startswith("-")} <= options_of(COMMANDS[name]) | {"--help"}


def test_some_commands_are_not_run() -> None:
    assert unrun_commands()


def test_command_with_unknown_option_does_not_parse() -> None:
    with pytest.raises(typer.TyperException):
        COMMANDS["sync"].make_context("sync", ["--accept-any-host-key"])


# Codes.


def test_plan_reasons_are_documented_with_their_actions() -> None:
    written = {ticked(row[0])[0]: row[1] for row in rows("codes.md", "Plan reasons")}
    assert list(written) == [reason.value for reason in Reason]
    known = {action.value for action in Action}
    assert all(set(actions.split(" or ")) <= known for actions in written.values())


def test_notices_are_documented_with_their_levels() -> None:
    written = {ticked(row[0])[0]: row[1] for row in rows("codes.md", "Notices")}
    assert written == {code.value: "note" if code.is_note else "attention" for code in NoticeCode}


def test_flags_are_documented_with_their_bits() -> None:
    written = {ticked(row[0])[0]: int(row[1]) for row in rows("codes.md", "Certificate flags")}
    assert written == {flag.codes[0]: flag.value for flag in Flag}


def test_findings_are_documented_with_steps_and_severities() -> None:
    written = {ticked(row[0])[0]: (int(row[1]), row[2], row[3]) for row in rows("security.md", "Findings")}
    assert written == {code.value: (int(code.step), code.severity.value, code.words) for code in FindingCode}
    steps = {int(row[0]): (row[1], row[2]) for row in rows("security.md", "Verify the mirror")}
    assert steps == {int(step): (step.words, step.rule) for step in CheckStep}


@pytest.mark.parametrize(
    ("heading", "enum"),
    [
        ("Ignored files", UnrecognisedReason),
        ("Quarantine reasons", RejectReason),
        ("Codes of a bad extract", Fault),
    ],
)
def test_table_of_codes_equals_its_enum(
    heading: str, enum: type[UnrecognisedReason] | type[RejectReason] | type[Fault]
) -> None:
    assert codes("codes.md", heading) == [member.value for member in enum]


CANNOT_BE_REACHED = "The Repository cannot be reached"
ERROR_TABLES = [
    "The command line and the configuration",
    "The Repository refuses",
    CANNOT_BE_REACHED,
    "A bad extract",
    "The mirror",
    "The program",
]


def error_rows() -> list[Row]:
    return [row for heading in ERROR_TABLES for row in rows("codes.md", heading)]


def error_codes() -> list[str]:
    return [ticked(row[0])[0] for row in error_rows()]


def calls() -> Iterator[tuple[str, ast.expr]]:
    """Return every ``code=`` in the package: the called name and the expression."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = node.func.id if isinstance(node.func, ast.Name) else ""
                yield from ((called, k.value) for k in node.keywords if k.arg == "code")


def patterns_of(expression: ast.expr) -> list[str]:
    """Return the texts that an expression can produce, as regular expressions."""
    match expression:
        case ast.Constant(value=str(text)):
            return [re.escape(text)]
        case ast.IfExp(body=body, orelse=other):
            return [*patterns_of(body), *patterns_of(other)]
        case ast.JoinedStr(values=parts):
            return [
                "".join(re.escape(str(p.value)) if isinstance(p, ast.Constant) else "[a-z]+" for p in parts)
            ]
        case _:
            return []


@cache
def raised() -> frozenset[str]:
    """Return every code with which an error is raised, as regular expressions."""
    failures = (value for called, value in calls() if called != "Attention")
    return frozenset(pattern for value in failures for pattern in patterns_of(value))


def own_codes() -> dict[str, type[errors.SmkiSyncError]]:
    """Return the code of each class; one is never raised, one shares the code of a server that refuses."""
    tree = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    named = [kind for kind in tree if issubclass(kind, errors.SmkiSyncError)]
    return {kind.code: kind for kind in named if kind not in {errors.SourceError, errors.SourceNotReadable}}


def test_error_codes_that_can_be_raised_are_documented() -> None:
    written = error_codes()
    assert len(written) == len(set(written))
    assert set(own_codes()) <= set(written)
    missing = [p for p in raised() if not any(re.fullmatch(p, code) for code in written)]
    assert missing == []
    for example in ("login-refused", "connection-refused", "banner-timeout"):  # text, choice, f-string
        assert any(re.fullmatch(pattern, example) for pattern in raised())


def test_documented_error_codes_can_be_raised() -> None:
    unknown = [
        code
        for code in set(error_codes()) - set(own_codes()) - {"unexpected"}
        if not any(re.fullmatch(pattern, code) for pattern in raised())
    ]
    assert unknown == []


def test_exit_code_of_an_error_code_is_that_of_its_class() -> None:
    written = {ticked(row[0])[0]: int(row[1]) for row in error_rows()}
    for code, kind in own_codes().items():
        assert written[code] == exit_of(kind("")), code
    classes = {kind.__name__: kind for kind in own_codes().values()}
    for called, value in calls():
        if called in classes and isinstance(value, ast.Constant):
            assert written[str(value.value)] == exit_of(classes[called]("")), value.value


def test_retry_causes_are_documented_with_their_action() -> None:
    written = [
        (ticked(row[0])[0], int(row[1]), *row[2:])
        for row in rows("how-sync-works.md", "Which faults are retried")
    ]
    words = {"retry": "yes", "wait": "after a wait", "never": "no"}
    assert written == [
        (rule.code, int(exit_of(rule.error(""))), words[rule.action], rule.reason) for rule in RETRY_RULES
    ]


def test_source_error_codes_have_a_retry_rule() -> None:
    """A new source error needs a row in smki_sync/download/retry.py and in docs/how-sync-works.md."""
    documented = {*codes("codes.md", "The Repository refuses"), *codes("codes.md", CANNOT_BE_REACHED)}
    assert documented == {rule.code for rule in RETRY_RULES}


# Decisions.


def test_table_of_layers_equals_the_architecture_test() -> None:
    written = {
        int(row[0].split()[0]): ticked(row[1]) for row in rows("decisions/0001-architecture.md", "Layers")
    }
    there = {path.stem for path in PACKAGE.iterdir()}
    assert written == {
        layer: sorted(room for room in rooms if room in there) for layer, rooms in LAYERS.items()
    }
    assert list(ASIDE) == ["simulator"]


def test_table_of_libraries_equals_the_architecture_test() -> None:
    written = {row[0]: ticked(row[1]) for row in rows("decisions/0001-architecture.md", "Layers", table=1)}
    assert written == {library.replace("_", "-"): rooms for library, rooms in LIBRARIES.items()}


def test_runtime_dependencies_have_reason_and_version() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = tomllib.loads(project)["project"]
    optional = [name for names in listed["optional-dependencies"].values() for name in names]
    wanted = [re.split("[<>=]", name)[0] for name in (*listed["dependencies"], *optional)]
    pins = dict(
        re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements.txt").read_text("utf-8"), re.MULTILINE)
    )
    written = {row[0].split()[0]: row[2] for row in rows("decisions/0001-architecture.md", "Libraries")}
    assert set(written) == set(wanted)
    for name, alive in written.items():
        assert alive.startswith(pins[name].removesuffix(".0")), name


# A small mirror from the sample data: a full, a resync, and a delta with an unreadable record.

LAST_DELTA = """<CertificateDataResponse>
<CertificateResponse><CertificateStatus>N</CertificateStatus><CertificateBody>{}</CertificateBody></CertificateResponse>
<CertificateResponse><CertificateStatus>I</CertificateStatus><CertificateBody>bm8=</CertificateBody></CertificateResponse>
</CertificateDataResponse>"""


def smki_sync(place: Path, *words: str, today: str = "2026-11-12") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "smki_sync", *words],
        cwd=place,
        env={
            "SMKI_SYNC_TODAY": today,
            "SMKI_SYNC_MIRROR": str(place / "mirror"),
            "SMKI_SYNC_SOURCE": (place / "repository").as_uri(),
            "HOME": str(place),
        },
        text=True,
        capture_output=True,
        check=False,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with ``repository``, ``mirror`` and the JSON documents of three runs."""
    place = tmp_path_factory.mktemp("docs")
    repository = place / "repository"
    repository.mkdir()
    fulls = sorted(SAMPLE.glob("SMKIKR_FULL_*"))
    shutil.copy(fulls[0], repository)
    first = smki_sync(place, "sync", "--json", today="2026-11-02")
    shutil.copytree(SAMPLE, repository, dirs_exist_ok=True)
    second = smki_sync(place, "sync", "--json")
    body = base64.b64encode(
        bytes.fromhex(one(place, "SELECT hex(der) FROM certificates WHERE in_use"))
    ).decode()
    delta = gzip.compress(LAST_DELTA.format(body).encode())
    (repository / "SMKIKR_DELT_2026-11-12.xml.gz").write_bytes(delta)
    third = smki_sync(place, "sync", "--json")
    assert [first.returncode, second.returncode, third.returncode] == [3, 0, 3], third.stderr
    for number, run in enumerate((first, second, third), 1):
        (place / f"sync{number}.json").write_text(run.stdout)
    return place


def connect(place: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{(place / 'mirror' / 'mirror.db').as_uri()}?mode=ro", uri=True)


def one(place: Path, sql: str) -> str:
    db = connect(place)
    (value,) = db.execute(sql).fetchone()
    db.close()
    return str(value)


QUERIES = [(name_of(page), text) for page in TOGETHER for text in blocks(page, "sql")]


def test_pages_contain_queries() -> None:
    assert len(QUERIES) > 5


@pytest.mark.parametrize(("page", "sql"), QUERIES, ids=[f"query{n}" for n in range(len(QUERIES))])
def test_query_on_a_page_returns_rows(place: Path, page: str, sql: str) -> None:
    db = connect(place)
    assert db.execute(sql).fetchall() != [], page
    db.close()


def run_python(place: Path, text: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=place / "mirror", text=True, capture_output=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.strip()


def test_digest_computed_as_documented_is_the_mirrors(place: Path) -> None:
    (text,) = blocks(DOCS / "decisions/0005-set-digest.md", "python")
    documented = run_python(place, text)
    assert documented == json.loads((place / "sync3.json").read_text())["digest"]
    assert documented != json.loads((place / "sync1.json").read_text())["digest"]


@pytest.mark.parametrize("view", ["certificates", "changes"])
def test_view_has_the_documented_columns(place: Path, view: str) -> None:
    db = connect(place)
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({view})")]
    db.close()
    assert set(codes("querying.md", f"The view `{view}`")) == set(columns)


def test_tables_of_the_mirror_are_documented(place: Path) -> None:
    db = connect(place)
    names = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    assert set(codes("querying.md", "Other tables")) == {name for (name,) in names}
    db.close()


def test_file_has_documented_application_id_and_schema() -> None:
    text = section("querying.md", "Other tables")
    assert f"`0x{APPLICATION_ID:X}`" in text
    assert f"user version {SCHEMA_VERSION}," in text


@pytest.mark.parametrize(("column", "value"), [("eui", "x"), ("serial", "x")])
def test_lookup_by_eui_or_serial_uses_an_index(place: Path, column: str, value: str) -> None:
    db = connect(place)
    plan = db.execute(f"EXPLAIN QUERY PLAN SELECT * FROM certificates WHERE {column} = ?", (value,))
    assert any("USING INDEX certificate_" in row[3] for row in plan)
    db.close()


def test_files_of_the_mirror_directory_are_documented(place: Path) -> None:
    written = " ".join(row[0] for row in rows("how-sync-works.md", "Files in the mirror directory"))
    for path in (place / "mirror").rglob("*"):
        if path.is_file():
            name = path.relative_to(place / "mirror").as_posix()
            plain = re.sub(r"\d{6}\.db", "NNNNNN.db", name).partition("-")[0]
            assert f"`{plain}`" in written, name


def test_backup_put_back_continues_from_its_position(place: Path, tmp_path: Path) -> None:
    generations = tmp_path / "mirror" / "generations"
    generations.mkdir(parents=True)
    source, copy = connect(place), sqlite3.connect(generations / "000001.db")
    source.backup(copy)
    source.close()
    copy.close()
    (tmp_path / "mirror" / "mirror.db").symlink_to("generations/000001.db")
    (tmp_path / "repository").symlink_to(place / "repository")
    report = json.loads(smki_sync(tmp_path, "sync", "--json").stdout)
    assert report["plan"]["reason"] == "up-to-date"
    assert report["position"] == json.loads((place / "sync3.json").read_text())["position"]


# JSON documents.

LEAVES = {"certificates.by_kind", "certificates.by_status", "plan.sources"}
"""Objects with data as keys."""

Json = Mapping[str, Any]


def paths(value: Json, stem: str = "") -> set[str]:
    """Return the fields of a document as the tables write them."""
    found: set[str] = set()
    for name, below in value.items():
        path = f"{stem}{name}"
        if isinstance(below, dict) and path not in LEAVES:
            found |= paths(below, f"{path}.")
        elif isinstance(below, list) and below and isinstance(below[0], dict):
            for item in below:
                found |= paths(item, f"{path}[].")
        else:
            found.add(path)
    return found


def written_fields(heading: str) -> set[str]:
    return set(codes("json.md", heading))


def whole(fields: set[str]) -> set[str]:
    """Remove fields that are empty or null in one document and an object in another."""
    return {f for f in fields if not any(other.startswith((f"{f}.", f"{f}[].")) for other in fields)}


def test_sync_document_has_the_documented_fields(place: Path) -> None:
    documents = [json.loads((place / f"sync{n}.json").read_text()) for n in (1, 2, 3)]
    assert whole(set().union(*map(paths, documents))) == whole(written_fields("sync"))
    assert {d["schema"] for d in documents} == {"smki-sync/sync/1"}


def test_status_document_has_the_documented_fields(place: Path) -> None:
    smki_sync(place, "verify")
    document = json.loads(smki_sync(place, "status", "--json").stdout)
    assert document["schema"] == "smki-sync/status/1"
    assert document["last_run"], "the runs before this one are remembered"
    assert paths(document) == whole(written_fields("status"))


def test_show_document_has_the_documented_fields(place: Path) -> None:
    eui = one(place, "SELECT eui FROM certificates WHERE kind = 'device' AND in_use")
    document = json.loads(smki_sync(place, "show", eui, "--explain", "--json").stdout)
    assert document["schema"] == "smki-sync/show/1"
    assert document["inputs"] == [], "the identity is not a file"
    assert paths(document) - {"inputs"} == {f for f in written_fields("show") if not f.startswith("inputs[]")}


def test_find_document_has_the_documented_fields(place: Path) -> None:
    document = json.loads(smki_sync(place, "find", "--limit", "1", "--json").stdout)
    assert document["schema"] == "smki-sync/find/1"
    assert set(document) == {field.removesuffix("[]") for field in written_fields("find")}
    assert {f"certificates[].{name}" for name in document["certificates"][0]} <= written_fields("show")


def test_export_document_has_the_documented_fields(place: Path, tmp_path: Path) -> None:
    words = ("export", "--format", "pem", "--output", str(tmp_path / "made"), "--json")
    document = json.loads(smki_sync(place, *words).stdout)
    assert document["schema"] == "smki-sync/export/1"
    assert paths(document) == written_fields("export")


def test_quarantine_document_has_the_documented_fields(place: Path) -> None:
    done = smki_sync(place, "quarantine", "--json")
    document = json.loads(done.stdout)
    assert document["schema"] == "smki-sync/quarantine/1"
    assert [record["reason"] for record in document["records"]] == ["body-not-a-certificate"]
    assert paths(document) == written_fields("quarantine")
    assert done.returncode == Exit.FINDING


def test_verify_document_has_the_documented_fields(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "mirror", tmp_path / "mirror", symlinks=True)
    with closing(sqlite3.connect(tmp_path / "mirror" / "mirror.db")) as db, db:
        db.execute("UPDATE certificate SET status = iif(status = 'N', 'I', 'N') WHERE id = 1")
    done = smki_sync(tmp_path, "verify", "--at", "2001-01-01", "--json")
    document = json.loads(done.stdout)
    assert document["schema"] == "smki-sync/verify/1"
    assert paths(document) == written_fields("verify")
    assert done.returncode == Exit.FINDING


@pytest.mark.parametrize("words", [["sync", "--source", "nowhere:", "--json"], ["nonsense", "--json"]])
def test_failure_document_has_the_documented_fields(place: Path, words: list[str]) -> None:
    document = json.loads(smki_sync(place, *words).stdout)
    assert paths(document) == written_fields("failure")
    assert document["error"]["code"] in error_codes()


def test_commands_with_json_have_a_documented_document() -> None:
    speaking = {name for name, command in COMMANDS.items() if "--json" in options_of(command)}
    assert set(headings(DOCS / "json.md")) == {
        "JSON documents",
        "failure",
        "rehearsal",
        "evidence",
        *speaking,
    }


# JSON Schemas.

SCHEMAS = {path.stem: path for path in sorted((DOCS / "schemas").glob("*.json"))}


def fields_of(schema: Json, stem: str = "") -> set[str]:
    """Return the fields of a JSON Schema as the tables write them."""
    found: set[str] = set()
    for name, one in schema.get("properties", {}).items():
        path = f"{stem}{name}"
        inside = fields_of(one.get("items", one), f"{path}[]." if "items" in one else f"{path}.")
        found |= inside or {path}
    return found


def test_documents_and_schemas_correspond() -> None:
    """A new document needs docs/schemas/COMMAND.json; test_schemas.py checks real documents."""
    assert set(SCHEMAS) == set(headings(DOCS / "json.md")) - {"JSON documents"}


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_has_the_documented_fields(name: str) -> None:
    schema = json.loads(SCHEMAS[name].read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    documented = {field.removesuffix("[]") for field in written_fields(name)}
    parents = {field.rpartition(".")[0].removesuffix("[]") for field in documented}
    assert fields_of(schema) == documented - parents


ENUMS: dict[str, type[Enum]] = {
    "sync/plan/action": Action,
    "sync/plan/reason": Reason,
    "sync/attention/items/code": NoticeCode,
    "sync/lists/items/state": ListState,
    "show/certificates/items/kind": Kind,
    "show/certificates/items/status": Status,
    "show/certificates/items/usage": Usage,
    "quarantine/records/items/reason": RejectReason,
    "verify/codes/items/code": FindingCode,
    "failure/error/exit": Exit,
}


@pytest.mark.parametrize("path", ENUMS)
def test_schema_lists_every_code_of_the_program(path: str) -> None:
    name, *keys = path.split("/")
    node = json.loads(SCHEMAS[name].read_text("utf-8"))
    for key in keys:
        node = node["items"] if key == "items" else node["properties"][key]
    assert {one for one in node["enum"] if one is not None} == set(ENUMS[path])

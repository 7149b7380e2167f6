"""`doctor`: each problem is named with its fix, and independent checks still run."""

import fcntl
import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from support.cli import Json, Ran, Shell
from support.openssh import make_key

from operations.conftest import change
from smki_sync.cli.exit_codes import Exit
from smki_sync.doctor.local import CheckOutcome, check_directory
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.history import RefusedLogins
from smki_sync.simulator.sftp_server import Service


def checks(ran: Ran) -> dict[str, Json]:
    return {check["check"]: check for check in ran.document["checks"]}


def verdicts(ran: Ran) -> dict[str, str]:
    return {name: check["verdict"] for name, check in checks(ran).items()}


def test_doctor_reports_ready_and_writes_nothing_when_all_is_well(smki: Shell, site: Path) -> None:
    before = sorted(site.parent.rglob("*"))
    ran = smki("doctor", "--json")
    assert ran.code == Exit.OK, ran.err
    assert ran.document["outcome"] == "ready"
    assert set(verdicts(ran).values()) == {"ok"}
    assert sorted(site.parent.rglob("*")) == before


def unknown_key(site: Path, _: Service) -> None:
    site.write_text(site.read_text().replace("known_hosts", "knownhosts"))


def no_such_host(site: Path, _: Service) -> None:
    change(site, "url", '"sftp://party@no-such-host.invalid:22/"')


def nobody_listens(site: Path, _: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    change(site, "url", f'"sftp://party@127.0.0.1:{port}/"')


def no_known_hosts(site: Path, _: Service) -> None:
    change(site, "known_hosts", '"nowhere"')


def other_host_key(site: Path, service: Service) -> None:
    kind, blob = make_key(site.parent / "other").split()
    (site.parent / "pins").write_text(f"[127.0.0.1]:{service.port} {kind} {blob}\n")
    change(site, "known_hosts", '"pins"')


def unknown_host_key(site: Path, _: Service) -> None:
    (site.parent / "pins").write_text("")
    change(site, "known_hosts", '"pins"')


def wrong_key(site: Path, _: Service) -> None:
    make_key(site.parent / "wrong")
    change(site, "identity_file", '"wrong"')


def missing_key(site: Path, _: Service) -> None:
    change(site, "identity_file", '"nowhere"')


def open_password_file(site: Path, _: Service) -> None:
    (site.parent / "password").write_text("correct horse\n")
    (site.parent / "password").chmod(0o644)
    site.write_text(site.read_text().replace("[mirror]", "password_file = 'password'\n[mirror]"))


def wrong_path(site: Path, service: Service) -> None:
    change(site, "url", f'"{service.url}nowhere"')


def mirror_is_a_file(site: Path, _: Service) -> None:
    (site.parent / "mirror").write_text("not a directory")


def broken_link(site: Path, _: Service) -> None:
    (site.parent / "mirror").mkdir()
    (site.parent / "mirror" / "mirror.db").symlink_to("generations/000001.db")


def revoked_host_key(site: Path, service: Service) -> None:
    (site.parent / "pins").write_text(f"@revoked {service.host_public_key}\n")
    change(site, "known_hosts", '"pins"')


def locked_key(site: Path, _: Service) -> None:
    key = Ed25519PrivateKey.generate()
    sealed = BestAvailableEncryption(b"battery staple")
    (site.parent / "locked").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, sealed))
    (site.parent / "locked").chmod(0o600)
    change(site, "identity_file", '"locked"')


def no_anchor(site: Path, _: Service) -> None:
    site.write_text(site.read_text() + '[trust]\nanchors = ["nowhere.pem"]\n')


def strange_fallback(site: Path, _: Service) -> None:
    site.write_text(site.read_text().replace("[mirror]", 'fallbacks = ["ftp://archive/"]\n[mirror]'))


def no_room(_: Path, service: Service) -> None:
    (newest, *_others) = sorted(service.known_hosts.parents[1].glob("SMKIKR_FULL_*"), reverse=True)
    os.truncate(newest, 1 << 42)  # with nothing in it: it takes no room itself


def damaged_mirror(site: Path, _: Service) -> None:
    generations = site.parent / "mirror" / "generations"
    generations.mkdir(parents=True)
    (generations / "000001.db").write_bytes(b"\xff" * 8192)
    (site.parent / "mirror" / "mirror.db").symlink_to("generations/000001.db")


Break = Callable[[Path, Service], None]

BROKEN: dict[Break, tuple[str, str, Exit]] = {
    unknown_key: ("configuration", "config-invalid", Exit.CONFIG),
    no_such_host: ("name resolution", "host-unknown", Exit.UNREACHABLE),
    nobody_listens: ("connection", "connection-refused", Exit.UNREACHABLE),
    no_known_hosts: ("host key", "known-hosts", Exit.CONFIG),
    unknown_host_key: ("host key", "host-key-unknown", Exit.REFUSED),
    other_host_key: ("host key", "host-key-changed", Exit.REFUSED),
    wrong_key: ("login", "login-refused", Exit.REFUSED),
    missing_key: ("login", "identity-file", Exit.CONFIG),
    open_password_file: ("configuration", "password-file", Exit.CONFIG),
    wrong_path: ("listing", "source-missing", Exit.UNREACHABLE),
    mirror_is_a_file: ("mirror directory", "mirror-not-writable", Exit.RESOURCES),
    broken_link: ("mirror", "mirror-damaged", Exit.MIRROR),
    revoked_host_key: ("host key", "host-key-revoked", Exit.REFUSED),
    locked_key: ("login", "key-passphrase-missing", Exit.CONFIG),
    no_anchor: ("configuration", "trust-anchor", Exit.CONFIG),
    strange_fallback: ("configuration", "source-url", Exit.CONFIG),
    no_room: ("space", "no-space", Exit.RESOURCES),
    damaged_mirror: ("mirror", "mirror-damaged", Exit.MIRROR),
}


@pytest.mark.parametrize("hurt", BROKEN, ids=lambda hurt: hurt.__name__)
def test_doctor_names_the_step_that_fails(smki: Shell, site: Path, service: Service, hurt: Break) -> None:
    hurt(site, service)
    step, code, exit_code = BROKEN[hurt]
    ran = smki("doctor", "--json")
    seen = verdicts(ran)
    assert [name for name, verdict in seen.items() if verdict == "fail"] == [step]
    assert checks(ran)[step]["code"] == code
    assert checks(ran)[step]["mend"]
    assert ran.code == exit_code == ran.document["exit"]
    assert ran.document["outcome"] == "hindered"
    assert (seen.get("age") == "skipped") is (step == "mirror")
    network = ["name resolution", "connection", "handshake", "host key", "login", "listing"]
    if step in network:
        assert {seen[later] for later in network[network.index(step) + 1 :]} <= {"skipped"}
        assert {seen[name] for name in ("mirror directory", "file system", "lock", "mirror", "sqlite")} == {
            "ok"
        }


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port at which somebody hangs up on every caller."""

    def hang_up() -> None:
        while True:
            try:
                taken.accept()[0].close()
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as taken:
        Thread(target=hang_up, daemon=True).start()
        yield taken.getsockname()[1]


def test_handshake_fails_when_the_server_disconnects(smki: Shell, site: Path, nobody: int) -> None:
    change(site, "url", f'"sftp://party@127.0.0.1:{nobody}/"')
    ran = smki("doctor", "--json")
    assert [name for name, verdict in verdicts(ran).items() if verdict == "fail"] == ["handshake"]
    assert ran.code == Exit.UNREACHABLE
    assert verdicts(ran)["connection"] == "ok"


BESIDE: dict[str, tuple[str, str, str]] = {
    "a fallback that is not there": ("[repository]", 'fallbacks = ["file:///nowhere"]', "fallback 1"),
    "a fallback without a file": ("[repository]", 'fallbacks = ["file:EMPTY"]', "fallback 1"),
    "a second fallback that is not there": (
        "[repository]",
        'fallbacks = ["file:ARCHIVE", "file:///nowhere"]',
        "fallback 2",
    ),
    "an archive that cannot be made": ("[mirror]", '[archive]\npath = "smki-sync.toml/archive"', "archive"),
    "a textfile in no directory": ("[mirror]", '[metrics]\ntextfile = "nowhere/smki.prom"', "metrics"),
    "a hook that is no program": ("[mirror]", '[hooks]\nafter_run = ["no-such-program", "x"]', "hooks"),
}
"""What is put before or after a section of the configuration, and the check that it shows at."""


@pytest.mark.parametrize("case", BESIDE)
def test_problem_of_an_optional_part_is_a_warning(
    smki: Shell, site: Path, repository: Path, case: str
) -> None:
    section, text, check = BESIDE[case]
    (site.parent / "empty").mkdir()
    text = text.replace("file:EMPTY", (site.parent / "empty").as_uri())
    text = text.replace("file:ARCHIVE", repository.as_uri())
    lines = f"{section}\n{text}" if section == "[repository]" else f"{text}\n{section}"
    site.write_text(site.read_text().replace(section, lines))
    ran = smki("doctor", "--json")
    assert [name for name, verdict in verdicts(ran).items() if verdict == "warn"] == [check]
    assert checks(ran)[check]["mend"]
    assert ran.code == Exit.ATTENTION
    assert smki("sync").code != Exit.MIRROR


def test_optional_parts_pass_when_they_are_usable(smki: Shell, site: Path, repository: Path) -> None:
    beside = f'fallbacks = ["{repository.as_uri()}"]\n[archive]\npath = "a"\n[metrics]\ntextfile = "m/m"\n'
    (site.parent / "m").mkdir()
    (site.parent / "m").chmod(0o755)
    site.write_text(site.read_text().replace("[mirror]", beside + '[hooks]\nafter_run = ["true"]\n[mirror]'))
    ran = smki("doctor", "--json")
    assert ran.code == Exit.OK, ran.out
    assert {"fallback 1", "archive", "metrics", "hooks"} <= verdicts(ran).keys()
    assert not (site.parent / "a").exists()
    (site.parent / "m").chmod(0o700)
    assert verdicts(smki("doctor", "--json"))["metrics"] == "warn"


@pytest.mark.usefixtures("site")
def test_unrecognised_name_is_a_warning(smki: Shell, repository: Path) -> None:
    (repository / "README.txt").write_text("hello")
    ran = smki("doctor", "--json")
    assert ran.code == Exit.ATTENTION
    assert ran.document["outcome"] == "attention"
    assert "README.txt" in checks(ran)["names"]["seen"]


@pytest.mark.usefixtures("site")
def test_clock_is_a_warning_when_it_is_behind_the_repository(smki: Shell) -> None:
    ran = Shell(place=smki.place, today=None)("doctor", "--json", SMKI_SYNC_TODAY="2026-11-04")
    assert verdicts(ran)["clock"] == "warn"


def test_lock_check_fails_when_a_run_holds_the_lock(smki: Shell, site: Path) -> None:
    assert smki("sync").code == Exit.OK
    lock = site.parent / "mirror" / "lock"
    with lock.open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        ran = smki("doctor", "--json")
    assert verdicts(ran)["lock"] == "fail"
    assert ran.code == Exit.LOCKED
    assert smki("sync").code == Exit.OK, "the doctor's look takes nothing away"


@pytest.mark.usefixtures("site")
def test_age_is_a_warning_after_the_full_resync_deadline(smki: Shell) -> None:
    assert smki("sync").code == Exit.OK
    ran = smki("doctor", "--json", SMKI_SYNC_TODAY="2026-11-25")
    assert verdicts(ran)["age"] == "warn"
    assert " 0 days left" in checks(ran)["age"]["seen"]


# A login that was refused.


def test_run_does_not_log_in_again_after_a_refused_login(smki: Shell, site: Path, service: Service) -> None:
    wrong_key(site, service)
    first, second = smki("sync", "--json"), smki("sync", "--json")
    assert first.error["code"] == "login-refused"
    assert second.error["code"] == "refused-recently"
    assert first.code == second.code == Exit.REFUSED


def test_successful_login_of_doctor_ends_the_lockout(smki: Shell, site: Path, service: Service) -> None:
    sound = site.read_text()
    wrong_key(site, service)
    assert smki("sync").code == Exit.REFUSED
    site.write_text(sound)
    assert smki("sync").code == Exit.REFUSED, "a run by itself does not know that something was mended"
    assert smki("doctor").code == Exit.OK
    assert smki("sync").code == Exit.OK


def test_doctor_never_makes_the_fifth_wrong_login(smki: Shell, site: Path, service: Service) -> None:
    wrong_key(site, service)
    codes = [smki("sync", "--json").error["code"]]
    codes += [checks(smki("doctor", "--json"))["login"]["code"] for _ in range(4)]
    assert codes == ["login-refused"] * 4 + ["refused-recently"]


def test_refused_login_counts_for_its_account_and_hour_only(tmp_path: Path) -> None:
    logins = RefusedLogins(tmp_path / "history.db")
    logins.remember("party@one:22", at="2026-11-11T10:00:00Z")
    assert logins.refused("party@one:22", since="2026-11-11T09:30:00Z") == ("2026-11-11T10:00:00Z",)
    assert logins.refused("party@one:22", since="2026-11-11T10:30:00Z") == ()
    assert logins.refused("party@two:22", since="") == ()


@pytest.mark.usefixtures("site")
def test_login_refused_in_the_future_does_not_block_a_run(smki: Shell, site: Path) -> None:
    mirror = site.parent / "mirror"
    mirror.mkdir(mode=0o750)
    account = re.search(r"party@[^/\"]+", site.read_text())
    assert account
    RefusedLogins(mirror / "history.db").remember(account[0], at="2036-01-01T00:00:00Z")
    assert smki("sync").code == Exit.OK


def test_mirror_directory_is_reported_when_others_can_change_it(smki: Shell, site: Path) -> None:
    mirror = site.parent / "mirror"
    mirror.mkdir()
    mirror.chmod(0o770)
    told = checks(smki("doctor", "--json"))["mirror directory"]
    assert (told["verdict"], f"chmod g-w {mirror}" in told["mend"]) == ("warn", True)
    mirror.chmod(0o757)
    told = checks(smki("doctor", "--json"))["mirror directory"]
    assert (told["verdict"], told["code"], told["exit"]) == ("fail", "mirror-open", Exit.RESOURCES)
    mirror.chmod(0o750)
    assert verdicts(smki("doctor", "--json"))["mirror directory"] == "ok"
    if os.geteuid() == 0:  # nobody else can give it away
        os.chown(mirror, 65534, -1)
        told = checks(smki("doctor", "--json"))["mirror directory"]
        assert (told["verdict"], told["code"]) == ("fail", "wrong-user")
        assert "(65534)" in told["seen"]
        assert "root (0)" in told["seen"]


def test_file_of_another_user_is_reported_with_the_command_that_fixes_it(
    smki: Shell, site: Path, repository: Path
) -> None:
    assert smki("sync", "--source", repository.as_uri()).code == Exit.OK
    mirror = site.parent / "mirror"
    (mirror / "mirror.db").chmod(0o444)
    if child := os.fork():
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        return
    told = False
    try:
        os.chdir(mirror)  # what lies above is the tester's alone
        if os.geteuid() == 0:  # root may write everything
            for path in (mirror, *mirror.iterdir()):
                os.chown(path, 65534, -1, follow_symlinks=False)
            os.setuid(65534)
        found = check_directory(MirrorDirectory(Path()))
        told = found.outcome is CheckOutcome.FAIL and "mirror.db" in found.message and "chown -R" in found.fix
    finally:
        os._exit(not told)

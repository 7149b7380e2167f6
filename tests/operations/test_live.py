"""The units really started, under a systemd of their own: the sync works, and little else does."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.machine import Machine, machine

from operations.conftest import TODAY
from smki_sync.cli.exit_codes import Exit

SMKI_SYNC = Path(sys.executable).with_name("smki-sync")
TOML = "/etc/smki-sync/smki-sync.toml"

PROBE = """
import ctypes, json, mmap, os, socket
from pathlib import Path

def tried(what):
    try:
        what()
    except OSError:
        return False
    return True

def unshare():
    if ctypes.CDLL(None).unshare(0x10000000):
        raise OSError

Path("/var/lib/smki-sync/probe").write_text(json.dumps({
    "write to the mirror": tried(lambda: Path("/var/lib/smki-sync/x").touch()),
    "talk over the network": tried(lambda: socket.socket().close()),
    "write to /etc": tried(lambda: Path("/etc/x").touch()),
    "write beside the configuration": tried(lambda: Path("/etc/smki-sync/x").touch()),
    "change the configuration": tried(lambda: Path("/etc/smki-sync/smki-sync.toml").open("a").close()),
    "write to /srv": tried(lambda: Path("/srv/open/x").touch()),
    "read /proc/meminfo": tried(lambda: Path("/proc/meminfo").read_text()),
    "see the first process": Path("/proc/1").exists(),
    "listen to every packet": tried(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()),
    "run what it has written": tried(lambda: mmap.mmap(-1, 4096, prot=7).close()),
    "make a namespace": tried(unshare),
    "be root": os.getuid() == 0,
}))
"""
"""What a program in the place of the sync can do."""

ALLOWED = {"write to the mirror", "talk over the network"}


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory, original: Path) -> Iterator[Machine]:
    """A machine on which ``init`` has scheduled the sync, and its steps were carried out."""
    with machine(tmp_path_factory.mktemp("machine")) as made:
        made.shell(
            f"mkdir -p /etc/smki-sync /srv/open; chmod 777 /srv/open; cp -r {original} /srv/repository"
        )
        source = ["--source", "file:///srv/repository", "--mirror", "/var/lib/smki-sync"]
        ran = made(SMKI_SYNC, "init", *source, "--config", TOML, "--schedule", "systemd", "--json")
        assert ran.returncode == Exit.OK, ran.stderr
        document = json.loads(ran.stdout)
        assert document["hindrances"] == []
        assert f"chgrp smki-sync {TOML}" in document["steps"]
        made.shell("\n".join(document["steps"]))
        yield made


def drop_in(there: Machine, text: str) -> None:
    there.shell(
        "mkdir -p /etc/systemd/system/smki-sync.service.d\n"
        f"cat > /etc/systemd/system/smki-sync.service.d/test.conf <<'END'\n[Service]\n{text}\nEND\n"
        "systemctl daemon-reload"
    )


def ended(there: Machine) -> dict[str, str]:
    there("systemctl", "start", "smki-sync.service")
    shown = there.shell("systemctl show smki-sync.service -p Result,ExecMainStatus")
    return dict(line.split("=") for line in shown.splitlines())


def test_the_sync_works_behind_everything_that_its_unit_closes(there: Machine) -> None:
    drop_in(there, f"Environment=SMKI_SYNC_TODAY={TODAY}")
    assert ended(there) == {"Result": "success", "ExecMainStatus": "0"}
    assert there.shell("stat -c '%U %a' /var/lib/smki-sync").split() == ["smki-sync", "750"]
    status = json.loads(there(SMKI_SYNC, "status", "--config", TOML, "--json").stdout)
    assert status["position"] == "2026-11-11"


def test_to_be_behind_is_no_failure_of_the_service_and_a_refusal_is(there: Machine) -> None:
    drop_in(there, "Environment=SMKI_SYNC_TODAY=2026-11-20")
    assert ended(there) == {"Result": "success", "ExecMainStatus": "3"}
    there.shell("mv /srv/repository /srv/gone")
    assert ended(there) == {"Result": "exit-code", "ExecMainStatus": "4"}
    there.shell("mv /srv/gone /srv/repository")


def test_a_program_in_its_place_could_do_little(there: Machine) -> None:
    there.shell(f"cat > /srv/open/probe.py <<'END'\n{PROBE}\nEND\n")
    drop_in(there, f"ExecStart=\nExecStart={sys.executable} /srv/open/probe.py")
    assert ended(there) == {"Result": "success", "ExecMainStatus": "0"}
    could = json.loads(there.shell("cat /var/lib/smki-sync/probe"))
    assert {what for what, it_could in could.items() if it_could} == ALLOWED
    assert len(could) > len(ALLOWED)


def test_the_timer_is_on_and_will_start_the_service(there: Machine) -> None:
    assert there.shell("systemctl is-active smki-sync.timer").strip() == "active"
    assert there.shell("systemctl show -P Triggers smki-sync.timer").strip() == "smki-sync.service"

"""The two services of the Repository and the JSON API, over HTTP on loopback."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import connect

import pytest
from lxml import etree
from support.mirror_copies import copy_mirror
from support.party import SUPPLIER
from support.served import KEY, Served, request, serving

from smki_sync.service.app import MAX_BODY_BYTES, RateLimit
from smki_sync.service.mirror_reader import days_behind

from .conftest import ALL, PENDING, REVOKED

DEVICE = "00-DB-12-34-56-78-90-01"
DEVICE_DS = "71C56392CE9985DD1B78BE2EB23D610B"
OCA = "71872BDBC82789BC1401CE01BA06ADA3"
ONE_EXPIRED = "43F410FE3624C88E20521E8CA23ECD25"
XML_PATHS = ("/services/certificatesearch", "/services/retrievecertificate")


def results(body: str) -> list[dict[str, str]]:
    root = etree.fromstring(body.encode())
    return [{str(one.tag): one.text or "" for one in result} for result in root]


def test_search_lists_all_certificates_of_a_device(served: Served) -> None:
    answer = served.search("CertificateSubjectAltName", DEVICE.lower())
    assert (answer.status, answer.headers["content-type"]) == (200, "application/xml")
    found = results(answer.body)
    assert {one["CertificateUsage"] for one in found} == {"DS", "KA"}
    assert {one["CertificateSubjectAltName"] for one in found} == {DEVICE}
    assert {one["CertificateStatus"] for one in found} == {"I"}


def test_search_lists_several_certificates_of_one_usage_and_role(served: Served) -> None:
    found = results(served.search("CertificateSubjectName", SUPPLIER).body)
    signing = [one for one in found if one["CertificateUsage"] == "DS" and one["CertificateStatus"] == "I"]
    assert len(signing) > 1
    assert {one["CertificateRole"] for one in signing} == {"2"}


@pytest.mark.parametrize("serial", [DEVICE_DS, DEVICE_DS.lower(), f"00{DEVICE_DS}"])
def test_retrieve_answers_the_certificate(served: Served, serial: str) -> None:
    answer = served.retrieve(serial)
    assert answer.status == 200
    (found,) = results(answer.body)
    assert found["CertificateSerial"].replace("-", "") == DEVICE_DS


@pytest.mark.parametrize(
    ("serial", "status"), [(PENDING, "P"), (REVOKED, "R"), (ONE_EXPIRED, "E"), (OCA, "I")]
)
def test_retrieve_answers_the_status(served: Served, serial: str, status: str) -> None:
    (found,) = results(served.retrieve(serial).body)
    assert found["CertificateStatus"] == status


def test_unknown_identity_is_answered_with_402_and_the_position(served: Served) -> None:
    for answer in (served.search("CertificateSubjectAltName", "00" * 8), served.retrieve("FF" * 16)):
        assert answer.status == 402
        assert answer.headers["smki-position"] == "2026-11-09"


@pytest.mark.parametrize("path", XML_PATHS)
@pytest.mark.parametrize("body", [b"", b"nonsense", b"<!DOCTYPE a>", b"\xff\xfe<\0a\0/\0>\0"])
def test_invalid_request_is_answered_with_401(served: Served, path: str, body: bytes) -> None:
    assert served.ask(path, body).status == 401


@pytest.mark.parametrize("path", [*XML_PATHS, "/api/v1/certificates?eui=00", "/api/v1/mirror", "/metrics"])
@pytest.mark.parametrize("key", [None, "wrong"])
def test_wrong_key_is_answered_with_403(served: Served, path: str, key: str | None) -> None:
    body = "<a/>" if path in XML_PATHS else None
    answer = served.ask(path, body, key=key)
    assert answer.status == 403
    assert "smki-position" not in answer.headers


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/api/v1/mirror", {"Authorization": f"Bearer {KEY}"}), (f"/api/v1/mirror?apikey={KEY}", {})],
)
def test_key_is_accepted_in_authorization_and_query(
    served: Served, path: str, headers: Mapping[str, str]
) -> None:
    assert served.ask(path, key=None, **headers).status == 200


def test_two_keys_in_the_query_are_refused(served: Served) -> None:
    assert served.ask(f"/api/v1/mirror?apikey={KEY}&apikey={KEY}", key=None).status == 403


def test_key_is_revoked_while_the_server_runs(mirror: Path, tmp_path: Path) -> None:
    copied = copy_mirror(mirror, tmp_path / "mirror")
    with serving(copied) as running:
        assert running.retrieve(DEVICE_DS).status == 200
        running.keys.write_text("# revoked\n")
        assert running.retrieve(DEVICE_DS).status == 403


def test_every_answer_forbids_caching_and_names_no_server(served: Served) -> None:
    for answer in (
        served.retrieve(DEVICE_DS),
        served.ask("/nothing"),
        served.ask("/api/v1/mirror", key=None),
    ):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers


@pytest.mark.parametrize("path", ["/nothing", "/services/", "/static/", "/../etc/passwd", "/services"])
def test_unknown_path_is_answered_with_404(served: Served, path: str) -> None:
    assert served.ask(path).status == 404


def test_wrong_method_is_answered_with_405(served: Served) -> None:
    assert served.ask(XML_PATHS[0]).status == 405
    assert served.ask("/healthz", "x").headers["allow"] == "GET"


def test_large_body_is_answered_with_413(served: Served) -> None:
    assert served.ask(XML_PATHS[0], b"x" * (MAX_BODY_BYTES + 1)).status == 413
    assert served.ask(XML_PATHS[0], b"x" * MAX_BODY_BYTES).status == 401


def test_long_query_is_answered_with_414(served: Served) -> None:
    assert served.ask("/api/v1/mirror?" + "a" * 2000).status == 414


def test_json_lists_certificates_usable_first(served: Served) -> None:
    answer = served.ask(f"/api/v1/certificates?eui={SUPPLIER}")
    document = json.loads(answer.body)
    assert document["schema"] == "smki-sync/show/1"
    assert document["position"] == answer.headers["smki-position"] == "2026-11-09"
    usable = [one["usable"] for one in document["certificates"]]
    assert usable == sorted(usable, reverse=True)
    assert True in usable


def test_json_answers_by_serial(served: Served) -> None:
    document = json.loads(served.ask(f"/api/v1/certificates?serial={DEVICE_DS.lower()}").body)
    assert [one["serial"] for one in document["certificates"]] == [DEVICE_DS]


def test_json_answers_404_when_nothing_is_found(served: Served) -> None:
    answer = served.ask("/api/v1/certificates?serial=AA")
    assert (answer.status, json.loads(answer.body)["certificates"]) == (404, [])


@pytest.mark.parametrize("query", ["", "eui=1", "serial=x", "eui=1&serial=2", "ski=1", "eui=1&eui=2"])
def test_json_answers_400_when_the_query_is_invalid(served: Served, query: str) -> None:
    assert served.ask(f"/api/v1/certificates?{query}").status == 400


def test_mirror_and_metrics_are_answered(served: Served) -> None:
    document = json.loads(served.ask("/api/v1/mirror").body)
    assert document["position"] == "2026-11-09"
    assert len(document["digest"]) == 64
    assert 'smki_sync_serve_requests_total{route="api/v1/mirror",status="200"}' in served.ask("/metrics").body


def test_health_and_readiness_need_no_key(served: Served) -> None:
    assert served.ask("/healthz", key=None).status == 200
    assert served.ask("/readyz", key=None).status == 200


def test_services_are_answered_below_a_prefix(mirror: Path, tmp_path: Path) -> None:
    with serving(copy_mirror(mirror, tmp_path / "mirror"), {"prefix": "/smki/"}) as running:
        body = request("CertificateDataRequest", "CertificateSerial", DEVICE_DS)
        assert running.ask("/smki/services/retrievecertificate", body).status == 200
        assert running.ask("/services/retrievecertificate", body).status == 404


def test_stale_mirror_is_answered_with_503(mirror: Path, tmp_path: Path) -> None:
    copied = copy_mirror(mirror, tmp_path / "mirror")
    with serving(copied, {"answer_when_behind_days": 8}, today="2026-11-18") as running:
        for answer in (running.retrieve(DEVICE_DS), running.retrieve("FF"), running.ask("/readyz")):
            assert answer.status == 503
            assert "9 days behind" in answer.body
        assert running.ask("/healthz").status == 200
    with serving(copied, {"answer_when_behind_days": 0}, today="2026-11-18") as running:
        assert running.retrieve(DEVICE_DS).status == 200


def test_missing_and_damaged_mirrors_are_answered_with_503(mirror: Path, tmp_path: Path) -> None:
    copied = copy_mirror(mirror, tmp_path / "mirror")
    with serving(copied) as running:
        assert running.retrieve(DEVICE_DS).status == 200
        link = copied / "mirror.db"
        current = link.resolve()
        link.unlink()
        assert [running.retrieve("FF").status, running.ask("/readyz").status] == [503, 503]
        link.write_bytes(b"not a database" * 1000)
        assert running.retrieve("FF").status == 503
        link.unlink()
        with closing(connect(current)) as db:
            db.execute("PRAGMA user_version = 999")
        link.symlink_to(current.relative_to(copied))
        answer = running.retrieve("FF")
        assert (answer.status, "schema-newer" in answer.body) == (503, True)
        assert str(tmp_path) not in answer.body


def test_new_generation_is_used_at_the_next_request(mirror: Path, tmp_path: Path) -> None:
    copied = copy_mirror(mirror, tmp_path / "mirror")
    with serving(copied) as running:
        assert running.retrieve(DEVICE_DS).status == 200
        link = copied / "mirror.db"
        old = link.resolve()
        new = old.with_name("000099.db")
        shutil.copy(old, new)
        with closing(connect(new)) as db, db:
            db.execute("DELETE FROM certificate WHERE serial = ?", (DEVICE_DS,))
        other = copied / "other"
        other.symlink_to(new.relative_to(copied))
        other.rename(link)
        assert running.retrieve(DEVICE_DS).status == 402
        files = Path(f"/proc/{running.process.pid}/fd").iterdir()
        assert str(old) not in {str(one.resolve()) for one in files}


def test_revoked_and_withdrawn_certificates_are_not_answered_as_in_use(mirror: Path, tmp_path: Path) -> None:
    copied = copy_mirror(mirror, tmp_path / "mirror")
    with closing(connect(copied / "mirror.db")) as db, db:
        db.execute("UPDATE certificate SET revoked = 1700000000 WHERE serial = ?", (DEVICE_DS,))
        db.execute("UPDATE certificate SET withdrawn = 1 WHERE serial = ?", (PENDING,))
    with serving(copied) as running:
        (found,) = results(running.retrieve(DEVICE_DS).body)
        assert found["CertificateStatus"] == "R"
        statuses = {
            one["CertificateUsage"]: one["CertificateStatus"]
            for one in results(running.search("CertificateSubjectAltName", DEVICE).body)
        }
        assert statuses == {"DS": "R", "KA": "I"}
        assert running.retrieve(PENDING).status == 402


def test_requests_above_the_rate_are_answered_with_503(mirror: Path, tmp_path: Path) -> None:
    with serving(copy_mirror(mirror, tmp_path / "mirror"), {"rate": 1}) as running:
        answers = [running.ask("/api/v1/mirror") for _ in range(20)]
        refused = [one for one in answers if one.status == 503]
        assert refused
        assert {one.headers["retry-after"] for one in refused} == {"1"}


def test_rate_limit_allows_a_burst_and_then_the_rate() -> None:
    now = [0.0]
    limit = RateLimit(2, clock=lambda: now[0])
    assert [limit.allows("a") for _ in range(3)] == [True, True, False]
    assert limit.allows("b")
    now[0] = 0.5
    assert [limit.allows("a") for _ in range(2)] == [True, False]


def test_neither_keys_nor_queries_are_logged(mirror: Path, tmp_path: Path) -> None:
    with serving(copy_mirror(mirror, tmp_path / "mirror")) as running:
        running.ask(f"/api/v1/mirror?apikey={KEY}", key=None)
        running.ask(f"/api/v1/certificates?eui=secret&apikey={KEY}", key=None)
        running.process.terminate()
        assert running.process.stderr is not None
        written = running.process.stderr.read()
        assert running.process.wait(timeout=30) == 0
    assert written == ""


def test_days_behind_counts_calendar_days() -> None:
    position = datetime(2026, 11, 9, tzinfo=UTC).date()
    assert days_behind(position, datetime(2026, 11, 18, 0, 1, tzinfo=UTC)) == 9


def run_serve(place: Path, *words: str, config: str = "") -> subprocess.CompletedProcess[str]:
    file = place / "smki-sync.toml"
    file.write_text(f'[mirror]\npath = "mirror"\n[serve]\n{config}\n')
    file.chmod(0o600)
    command = [sys.executable, "-m", "smki_sync", "serve", "--config", str(file), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "config",
    [
        'keys_file = "keys"\nlisten = "0.0.0.0:8083"',
        'keys_file = "keys"\nlisten = "[::]:8083"',
        'keys_file = "keys"\nlisten = "example.org:8083"',
        'keys_file = "keys"\nlisten = "nonsense"',
        'keys_file = "keys"\nlisten = "127.0.0.1:99999"',
        'keys_file = "keys"\nlisten = "unix:relative"',
        "accept_boxed_key = true\nbehind_proxy = true",
        'accept_boxed_key = true\nbehind_proxy = true\nlisten = "0.0.0.0:8083"',
        'keys_file = "keys"\ntls_certificate = "one.pem"',
        'keys_file = "keys"\ntls_certificate = "one.pem"\ntls_key = "two.pem"',
        'keys_file = "missing"',
        'keys_file = "keys"\nprefix = "services"',
        "",
    ],
)
def test_serve_exits_8_when_the_configuration_is_not_safe(tmp_path: Path, config: str) -> None:
    (tmp_path / "keys").write_text("")
    (tmp_path / "keys").chmod(0o600)
    done = run_serve(tmp_path, config=config)
    assert (done.returncode, done.stdout) == (8, "")
    assert "Listening" not in done.stderr


def test_new_key_is_printed_once_and_accepted(mirror: Path, tmp_path: Path) -> None:
    done = run_serve(tmp_path, "--new-key", "billing", config='keys_file = "serve.keys"')
    assert done.returncode == 0
    content = (tmp_path / "serve.keys").read_text()
    assert done.stdout.strip() not in content + done.stderr
    with serving(copy_mirror(mirror, tmp_path / "mirror")) as running:
        running.keys.write_text(content)
        assert running.ask("/api/v1/mirror", key=done.stdout.strip()).status == 200
        assert running.ask("/api/v1/mirror").status == 403


def test_new_key_exits_8_when_no_file_is_configured(tmp_path: Path) -> None:
    assert run_serve(tmp_path, "--new-key", "billing").returncode == 8


def test_serve_exits_11_when_the_address_is_in_use(served: Served, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("")
    (tmp_path / "keys").chmod(0o600)
    done = run_serve(tmp_path, config=f'keys_file = "keys"\nlisten = "127.0.0.1:{served.port}"')
    assert done.returncode == 11


def test_serve_exits_8_when_the_extra_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "sitecustomize.py").write_text(
        "import importlib.util\nfound = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda n, p=None: None if n == 'uvicorn' else found(n, p)\n"
    )
    file = tmp_path / "smki-sync.toml"
    file.write_text('[mirror]\npath = "mirror"\n[serve]\nkeys_file = "keys"\n')
    done = subprocess.run(
        [sys.executable, "-m", "smki_sync", "serve", "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": str(tmp_path / "blocked"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert (done.returncode, "smki-sync[serve]" in done.stderr) == (8, True)


def test_every_certificate_of_the_mirror_is_retrieved(served: Served) -> None:
    answers = {serial: served.retrieve(serial).status for serial in ALL}
    assert set(answers.values()) == {200}

"""A running `smki-sync serve` on loopback, with a mirror of real certificates, and the DCC's own client."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import pytest

from support.needs import need

CLIENT: Final = Path(__file__).with_name("dcc_client")
KEY: Final = "key-of-the-tests-0123456789"
TODAY: Final = "2026-03-02"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server that runs. ``keys``: its file of keys."""

    url: str
    keys: Path
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])

    def ask(self, path: str, body: str | bytes | None = None, *, key: str | None = KEY, **more: str) -> Reply:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"X-API-Key": key} if key else {}
        try:
            connection.request("GET" if body is None else "POST", path, body, {**headers, **more})
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(status=answer.status, headers=named, body=answer.read().decode())
        finally:
            connection.close()

    def search(self, name: str, text: str) -> Reply:
        body = request("CertificateSearchRequest", name, text)
        return self.ask("/services/certificatesearch", body)

    def retrieve(self, serial: str) -> Reply:
        body = request("CertificateDataRequest", "CertificateSerial", serial)
        return self.ask("/services/retrievecertificate", body)


def request(root: str, name: str, text: str) -> str:
    return f'<?xml version="1.0" encoding="utf-8"?><{root}><{name}>{text}</{name}></{root}>'


@contextmanager
def serving(
    mirror: Path, settings: Mapping[str, object] | None = None, *, today: str = TODAY
) -> Iterator[Served]:
    """Run the command until the block ends. Its files are next to the mirror."""
    place = mirror.parent
    keys = place / "serve.keys"
    keys.write_text(f"tests {sha256(KEY.encode()).hexdigest()}\n")
    keys.chmod(0o600)
    given = {"listen": "127.0.0.1:0", "keys_file": str(keys), **(settings or {})}
    config = place / "serve.toml"
    lines = (f"{name} = {json.dumps(value)}" for name, value in given.items())
    config.write_text(f'[mirror]\npath = "{mirror}"\n[serve]\n' + "\n".join(lines) + "\n")
    config.chmod(0o600)
    process = subprocess.Popen(
        [sys.executable, "-m", "smki_sync", "serve", "--config", str(config)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "SMKI_SYNC_TODAY": today},
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("Listening on http"), line + process.stderr.read()
        yield Served(url=line.removeprefix("Listening on ").strip(), keys=keys, process=process)
    finally:
        process.terminate()
        process.wait(timeout=30)
        if process.stderr is not None:
            process.stderr.close()


def dcc_client(**call: object) -> dict[str, Any]:
    """What the DCC's client returns: ``found``, certificates in Base64, or ``error``."""
    node = need("node")
    if not (CLIENT / "node_modules").is_dir():
        problem = f"the DCC's client is missing: run `npm ci --ignore-scripts` in {CLIENT.name}"
        if os.environ.get("CI") == "true":
            pytest.fail(problem)
        pytest.skip(problem)
    done = subprocess.run(
        [node, str(CLIENT / "ask.js")],
        input=json.dumps(call),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer

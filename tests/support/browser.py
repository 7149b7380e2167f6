"""A real browser, spoken to over a pipe.

For: looking at a page as a reader's browser shows it: any width, light or dark, on paper. Chromium's own
protocol (``--remote-debugging-pipe``: JSON, each message ended by a zero octet) needs no library. Refuses:
to fetch anything; the browser is started without a network to use.
"""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from tempfile import TemporaryDirectory
from typing import Any, Self

from support.cli import PATIENCE_SECONDS
from support.needs import need

Json = dict[str, Any]

_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # tests run as root in a container, where Chromium's own sandbox cannot
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
    "about:blank",
)


class Tab:
    """One page in the browser. ``requests``: every address that it asked for; ``complaints``: its log."""

    def __init__(self, speak: int, listen: int) -> None:
        self._speak, self._listen = speak, listen
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.requests: list[str] = []
        self.complaints: list[str] = []

    def open(self) -> Self:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")
        return self

    def visit(self, path: Path) -> None:
        """Load a file, and wait until it is there."""
        self.requests.clear()
        self.complaints.clear()
        self.call("Page.navigate", url=path.as_uri())
        while self._hear().get("method") != "Page.loadEventFired":
            pass

    def look(self, *, width: int, scheme: str = "light", medium: str = "") -> None:
        """Make it a window of a width, in light or dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", media=medium, features=[feature])

    def ask(self, expression: str) -> Any:  # noqa: ANN401 - whatever the page answers
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self) -> bytes:
        """The whole page as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def paper(self) -> bytes:
        """The page as it is printed, as PDF."""
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True)["data"])

    def call(self, method: str, **parameters: object) -> Json:
        self._number += 1
        message: Json = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._speak, json.dumps(message).encode() + b"\0")
        while (answer := self._hear()).get("id") != self._number:
            pass
        assert "error" not in answer, answer
        result: Json = answer["result"]
        return result

    def _hear(self) -> Json:
        while b"\0" not in self._rest:
            assert select([self._listen], [], [], PATIENCE_SECONDS)[0], "the browser says nothing"
            chunk = os.read(self._listen, 1 << 16)
            assert chunk, "the browser has gone"
            self._rest += chunk
        first, _, self._rest = self._rest.partition(b"\0")
        message: Json = json.loads(first)
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        if message.get("method") in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.complaints.append(str(message["params"]))
        return message


@contextmanager
def browser() -> Iterator[Tab]:
    """A browser with one tab, for as long as the context lasts."""
    program = need("chromium")
    from_us, to_us = os.pipe(), os.pipe()
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:  # its helpers end a moment later
        process = subprocess.Popen(
            # The protocol's ends have to be descriptors 3 and 4 there; a shell moves them.
            [
                *("bash", "-c", f'exec "$@" 3<&{from_us[0]} 4>&{to_us[1]}', "bash", program),
                *(f"--user-data-dir={profile}", *_ARGUMENTS),
            ],
            pass_fds=(from_us[0], to_us[1]),
            env={**os.environ, "HOME": profile},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(from_us[0])
        os.close(to_us[1])
        try:
            yield Tab(from_us[1], to_us[0]).open()
        finally:
            os.close(from_us[1])  # at which it ends by itself
            os.close(to_us[0])
            process.terminate()
            process.wait()

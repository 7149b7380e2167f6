# ruff: noqa: INP001 - a directory of plugins is no package
"""Datasette on a mirror: follow the link ``mirror.db``, and show certificates as people know them.

``mirror.db`` is a link to the current generation, and a full resync makes another generation current.
Datasette opens a file once and keeps it open, so it would continue to show the previous generation, even
after that was deleted. Here each statement first compares device and inode of the file with those of the
open one, and reopens the file if they differ. The name is not enough: a deleted and rebuilt mirror can have
the same name.
"""

import asyncio
import re
import sqlite3
import textwrap
import threading
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha1, sha256
from pathlib import Path
from urllib.parse import urlencode

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database
from markupsafe import Markup

_held = threading.local()
_PAGES = {"serial": "certificate", "eui": "usable"}
"""Columns, and the queries of metadata.json that take one as their parameter."""


class FollowedDatabase(Database):
    """A database that is a link: reads the file to which the link leads now."""

    async def execute_fn(self, fn: Callable[[sqlite3.Connection], object]) -> object:
        """Run a function on the connection of this thread, reopened if the file was replaced."""
        run = asyncio.get_running_loop().run_in_executor
        return await run(self.ds.executor, lambda: fn(self._current()))

    def _current(self) -> sqlite3.Connection:
        status = Path(self.path).stat()  # follows the link; raises FileNotFoundError if there is no mirror
        target = status.st_dev, status.st_ino
        known = _held.__dict__.setdefault("open", {})
        was, connection = known.get(self.path, (None, None))
        if was != target:
            if connection:
                connection.close()
                self._all_file_connections.remove(connection)
            connection = self.connect()
            self.ds._prepare_connection(connection, self.name)  # noqa: SLF001 - as Database does
            known[self.path] = target, connection
        return connection


@hookimpl
def startup(datasette: Datasette) -> None:
    """Take the place of every database that is a link."""
    for name, database in list(datasette.databases.items()):
        if database.path and Path(database.path).is_symlink():
            datasette.remove_database(name)
            datasette.add_database(FollowedDatabase(datasette, path=database.path), name=name)


@hookimpl
def render_cell(value: object, column: str, database: str, datasette: Datasette) -> Markup | None:
    """Lead from a serial number to its certificate, and from an EUI-64 to what may be used of it.

    Octets are shown as their number: Datasette 0.65 cannot show a view that has any, as ``certificates``.
    """
    if isinstance(value, bytes):
        return Markup("{} octets").format(len(value))
    page = _PAGES.get(column)
    if page is None or not value:
        return None
    where = f"{datasette.urls.query(database, page)}?{urlencode({column: str(value)})}"
    return Markup('<a href="{}">{}</a>').format(where, value)


@hookimpl
def prepare_connection(conn: sqlite3.Connection) -> None:
    """Give SQL the forms in which people know a certificate."""
    conn.create_function("pem", 1, _pem, deterministic=True)
    conn.create_function("sha1", 1, _sha1, deterministic=True)
    conn.create_function("sha256", 1, _sha256, deterministic=True)
    conn.create_function("serial_decimal", 1, _decimal, deterministic=True)
    conn.create_function("eui", 1, _eui, deterministic=True)


def _pem(der: bytes) -> str:
    body = "\n".join(textwrap.wrap(b64encode(der).decode(), 64))
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"


def _sha1(der: bytes) -> str:
    return sha1(der, usedforsecurity=False).hexdigest()


def _sha256(der: bytes) -> str:
    return sha256(der).hexdigest()


def _decimal(serial: str) -> str:
    return str(int(serial, 16))


def _eui(text: str | None) -> str:
    """Return an EUI-64 in upper case with hyphens, whether it is written with hyphens, colons or neither."""
    digits = re.sub(r"[\s:-]", "", text or "").upper()
    return "-".join(textwrap.wrap(digits, 2))

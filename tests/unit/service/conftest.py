"""One mirror and one server for the tests that change neither."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.party import ders, party_mirror
from support.served import Served, serving
from support.x509_builders import REAL

from smki_sync.model.certificate import Serial
from smki_sync.x509 import read_facts

ALL = {read_facts(der).serial: der for der in (*REAL, *ders())}
PENDING = Serial("5C7E60D17DF78B14EA245BE2CFC75A90")
REVOKED = Serial("7CC2B9A0B4F7E43BCC4C897DC6F8A463")


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served") / "mirror"
    party_mirror(root, others={"P": [ALL[PENDING]], "R": [ALL[REVOKED]]})
    return root


@pytest.fixture(scope="session")
def served(mirror: Path) -> Iterator[Served]:
    with serving(mirror, {"accept_boxed_key": True}) as running:
        yield running

"""Real certificates of suppliers and network operators: ties, and renewals with the same key."""

import base64
import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Final

from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.x509.der import to_pem
from support.cli import Shell
from support.trust_mirrors import mirror_of
from support.x509_builders import ISSUING_OCA, REAL

DATA: Final = Path(__file__).parents[1] / "data" / "party-certificates.json"
RECORDS: Final = json.loads(DATA.read_text("utf-8"))["certificates"]
SUPPLIER: Final = "90-B3-D5-1F-30-01-00-00"
"""Has two keys for digital signing, and four for key agreement, all valid since 1 September 2025."""
OTHER_SUPPLIER: Final = "90-B3-D5-1F-30-03-00-00"
"""Has one key for digital signing, one for key agreement and one for prepayment."""
BROKER: Final = "90-B3-D5-1F-30-00-00-02"
LOAD_CONTROLLER: Final = "90-B3-D5-1F-30-01-00-08"


def ders(eui: str | None = None, element: str | None = None) -> list[bytes]:
    """Certificates of a party and DUIS element, the renewed generation last."""
    return [
        base64.b64decode(one["der"])
        for one in RECORDS
        if eui in (None, one["eui"]) and element in (None, one["element"])
    ]


def party_mirror(root: Path, *more: bytes, others: dict[str, list[bytes]] | None = None) -> MirrorDirectory:
    """A mirror of all of them, with the other public test certificates; all are In-Use."""
    hidden: Iterable[bytes] = [der for some in (others or {}).values() for der in some]
    shown = [der for der in dict.fromkeys((*REAL, *ders(), *more)) if der not in hidden]
    return mirror_of(root, shown, others=others)


def shell(place: Path, today: str = "2026-03-02") -> Shell:
    """A prompt with a mirror of the parties and their issuing authority as trust anchor."""
    (place / "anchor.pem").write_text(to_pem(ISSUING_OCA))
    (place / "smki-sync.toml").write_text('[mirror]\npath = "mirror"\n[trust]\nanchors = ["anchor.pem"]\n')
    return Shell(place=place, today=date.fromisoformat(today))

"""The first population: authorities, organisations of every role, devices, and some past.

For: a repository that on its first day looks as if it had run for years. Refuses: to let anything
happen in the month before the first day, so that the first full is right whatever its lag.
"""

from random import Random

from smki_sync.model.certificate import Kind, Status, Usage
from smki_sync.model.identity import Eui, eui_of
from smki_sync.simulator import issuing, profiles
from smki_sync.simulator.issued import Subject
from smki_sync.simulator.issuing import Desk
from smki_sync.simulator.pki import Authority, Quirks, new_key
from smki_sync.simulator.population import Registry
from smki_sync.simulator.profiles import ISSUING_ROLE, ROOT_ROLE

DAY = 86_400
QUIET_DAYS = 31
DEVICE_YEARS = 5
WAN_PROVIDER = 6
MANUFACTURING = 0.1
"""Share of devices whose certificates carry the manufacturing flag."""

NORTH, CENTRAL_SOUTH = "WAN North", "WAN Central & South"

ORGANISATIONS: tuple[tuple[int, str | None], ...] = (
    (1, "Recovery"),
    (2, "Ash & Elm Energy"),
    (2, "Harbour Power"),
    (2, None),
    (3, "Fenland Networks"),
    (3, None),
    (4, "Access Control Broker"),
    (5, "Transitional CoS"),
    (WAN_PROVIDER, NORTH),
    (WAN_PROVIDER, CENTRAL_SOUTH),
    (8, "Load & Balance"),
    (127, None),
    (135, "XML Sign"),
)
"""Role and common name; the ampersands must survive XML."""

BYGONE = {1: (issuing.OCA_RETIRING, Status.NOT_IN_USE), 2: (issuing.OCA, Status.REVOKED)}
"""Places in the list above whose holder had certificates before: who signed them, how they ended."""

PAST = {Status.IN_USE: 0.93, Status.NOT_IN_USE: 0.04, Status.EXPIRED: 0.01, Status.PENDING: 0.02}
"""What became of device certificates before the first day, by share."""


def found(registry: Registry, rng: Random, quirks: Quirks, *, devices: int, start: int) -> None:
    """Fill an empty registry. ``start``: seconds since 1970 at which the first day begins."""
    desk = Desk(rng=rng, quirks=quirks, authorities=_authorities(quirks))
    _found_authorities(registry, desk, start)
    _found_organisations(registry, desk, start)
    for _ in range(devices):
        _found_device(registry, desk, start - QUIET_DAYS * DAY)


def new_device(rng: Random) -> Eui:
    """The EUI-64 of a device that was not there before."""
    return eui_of(b"\x00\xdb\x12" + rng.randbytes(5))


def _authorities(quirks: Quirks) -> dict[str, Authority]:
    oca, dca = profiles.oca_name, profiles.dca_name
    names = {
        issuing.OCA_ROOT: oca("OCA Root R1", ROOT_ROLE),
        issuing.OCA: oca("OCA Issuing S2", ISSUING_ROLE),
        issuing.OCA_RETIRING: oca(issuing.RETIRING_NAME, ISSUING_ROLE),
        issuing.DCA_ROOT: dca("D0C4"),
        issuing.DCA: dca("E357"),
    }
    if quirks.second_key:
        names[issuing.DCA_SECOND] = names[issuing.DCA]
    return {label: Authority(label=label, name=name, key=new_key()) for label, name in names.items()}


def _found_authorities(registry: Registry, desk: Desk, start: int) -> None:
    roots = {"oca": desk.authorities[issuing.OCA_ROOT], "dca": desk.authorities[issuing.DCA_ROOT]}
    for label, authority in desk.authorities.items():
        registry.keep_authority(authority)
        root = roots[label[:3]]
        role = ROOT_ROLE if root is authority else ISSUING_ROLE
        at = start - (4000 if root is authority else 3900) * DAY
        registry.keep(desk.certify(authority, root, role, at), at, Status.IN_USE)


def _found_organisations(registry: Registry, desk: Desk, start: int) -> None:
    """Two certificates each, and for some two more that have had their time."""
    oldest = profiles.ORGANISATION_LIFE.days - 10
    for place, (role, name) in enumerate(ORGANISATIONS):
        eui = eui_of(b"\x90\xb3\xd5\x1f\x30" + desk.rng.randbytes(3))
        for usage in Usage:
            holder = Subject(kind=Kind.ORGANISATION, eui=eui, name=name, role=role, usage=usage)
            at = start - desk.rng.randint(QUIET_DAYS, oldest) * DAY
            registry.keep(desk.issue(holder, at), at, Status.IN_USE)
            if place in BYGONE:
                signer, status = BYGONE[place]
                before = registry.keep(desk.issue(holder, at - DAY, signer), at - DAY, Status.IN_USE)
                registry.change(before, at, status)


def _found_device(registry: Registry, desk: Desk, latest: int) -> None:
    eui, manufacturing = new_device(desk.rng), desk.rng.random() < MANUFACTURING
    for usage in Usage:
        at = latest - desk.rng.randrange(DEVICE_YEARS * 365 * DAY) - DAY
        holder = Subject(kind=Kind.DEVICE, eui=eui, usage=usage, manufacturing=manufacturing)
        (status,) = desk.rng.choices(list(PAST), list(PAST.values()))
        began = Status.PENDING if status is Status.PENDING else Status.IN_USE
        number = registry.keep(desk.issue(holder, at), at, began)
        if status is not began:
            registry.change(number, at + DAY, status)

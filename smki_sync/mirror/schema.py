"""Tables, views, indexes and schema version of a mirror."""

from typing import Final

from smki_sync.model.certificate import Kind
from smki_sync.model.defaults import OVERLAP_DAYS

LIST_TABLES: Final = """
CREATE TABLE revocation_list (    -- every ARL and CRL that was ever applied, in order
    id          INTEGER PRIMARY KEY,
    file        TEXT NOT NULL,    -- its name on offer
    kind        TEXT NOT NULL,    -- arl | crl
    issuer      TEXT NOT NULL,    -- RFC 4514
    key_id      TEXT NOT NULL,    -- subject key identifier of the key that signed it
    number      TEXT,             -- crlNumber in decimal: up to 20 bytes
    this_update INTEGER NOT NULL, -- seconds since 1970, UTC
    next_update INTEGER,
    entries     INTEGER NOT NULL,
    sha256      TEXT NOT NULL,    -- of its DER
    applied     TEXT NOT NULL,    -- UTC
    in_force    INTEGER NOT NULL, -- 1; 2: until any list takes its place; 0: a newer one has done so
    der         BLOB,             -- NULL once it is not in force
    scope       TEXT NOT NULL DEFAULT '', -- hex of its issuingDistributionPoint
    complete    INTEGER NOT NULL DEFAULT 1  -- 0: its scope leaves certificates of its kind or reasons out
);
CREATE TABLE revocation (         -- the lines of the lists in force
    serial TEXT NOT NULL,
    issuer INTEGER NOT NULL REFERENCES issuer (id),  -- the one that has no same_as
    list   INTEGER NOT NULL REFERENCES revocation_list (id),
    since  INTEGER NOT NULL,      -- seconds since 1970, UTC
    reason TEXT,                  -- RFC 5280 5.3.1; NULL where the list gives none
    PRIMARY KEY (serial, issuer, list)
) WITHOUT ROWID;
CREATE TABLE companion (          -- lists and anchor slots as they were fetched last, also if refused
    name     TEXT PRIMARY KEY,
    size     INTEGER NOT NULL,    -- bytes, as listed
    modified TEXT,                -- UTC, as the source stated it
    sha256   TEXT NOT NULL,       -- as served
    fetched  TEXT NOT NULL,       -- UTC
    content  BLOB NOT NULL        -- as served
) WITHOUT ROWID;
CREATE TABLE refused_companion (  -- evidence: those that were not taken, once for each reason
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL,
    sha256  TEXT NOT NULL,
    code    TEXT NOT NULL,        -- model.report.AttentionCode
    why     TEXT NOT NULL,
    seen    TEXT NOT NULL,        -- UTC
    content BLOB NOT NULL,
    reader  INTEGER NOT NULL DEFAULT 0,  -- version of the parser that refused it, see revocation.py
    UNIQUE (name, sha256, code)
);
CREATE TABLE revoked_authority (  -- revoked authorities with certificates below, derived from their rows
    issuer  INTEGER NOT NULL REFERENCES issuer (id),
    key_id  BLOB NOT NULL,        -- subject key identifier; empty: each key of this name
    subject TEXT NOT NULL,        -- RFC 4514; of the authority that is revoked, here or further up
    serial  TEXT NOT NULL,
    since   INTEGER NOT NULL,     -- seconds since 1970, UTC
    PRIMARY KEY (issuer, key_id)
) WITHOUT ROWID;
CREATE TABLE slot_publication (   -- every publication of an anchor-slot file that was taken in, in order
    id     INTEGER PRIMARY KEY,
    file   TEXT NOT NULL,
    region TEXT NOT NULL,
    day    TEXT NOT NULL,         -- of the run that took it in
    sha256 TEXT NOT NULL          -- of the file as served
);
CREATE TABLE slot_body (          -- the certificates of all publications, once each
    sha256 TEXT PRIMARY KEY,      -- of the DER
    der    BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE slot_certificate (   -- what a publication holds, in its order
    publication INTEGER NOT NULL REFERENCES slot_publication (id),
    place       INTEGER NOT NULL, -- from 1
    sha256      TEXT NOT NULL REFERENCES slot_body (sha256),
    PRIMARY KEY (publication, place)
) WITHOUT ROWID;
"""


ISSUER_INDEX: Final = "CREATE INDEX issuer_same ON issuer (coalesce(same_as, id));"
LIST_INDEX: Final = "CREATE INDEX revocation_list_in_force ON revocation_list (kind) WHERE in_force <> 0;"

LIST_UPGRADE: Final = f"""
ALTER TABLE revocation_list ADD COLUMN scope TEXT NOT NULL DEFAULT '';
ALTER TABLE revocation_list ADD COLUMN complete INTEGER NOT NULL DEFAULT 1;
{LIST_INDEX}
ALTER TABLE refused_companion ADD COLUMN reader INTEGER NOT NULL DEFAULT 0;
ALTER TABLE issuer ADD COLUMN same_as INTEGER REFERENCES issuer (id);
{ISSUER_INDEX}
CREATE TABLE revoked_authority (
    issuer  INTEGER NOT NULL REFERENCES issuer (id),
    key_id  BLOB NOT NULL,
    subject TEXT NOT NULL,
    serial  TEXT NOT NULL,
    since   INTEGER NOT NULL,
    PRIMARY KEY (issuer, key_id)
) WITHOUT ROWID;
"""
"""From version 5 to 6: the tables of lists. ``revocation.upgrade_lists()`` fills the new columns."""


Value = None | int | float | str | bytes
"""What SQLite stores in a column."""

APPLICATION_ID: Final = 0x534D4B49  # "SMKI": distinguishes our file from other SQLite files
SCHEMA_VERSION: Final = 6
PAGE_BYTES: Final = 8_192  # 15 device rows a page; at 4096 only 7 fit, at 16384 a delta writes more

KINDS: Final = (Kind.DEVICE, Kind.ORGANISATION, Kind.OCA, Kind.DCA)
"""Kinds by the number that is stored. Append only."""

DEVICE: Final = 0
"""Kind of a device, as stored."""

DISAGREEMENT: Final = """
CREATE TABLE disagreement (       -- what the newest full says, if a delta statement or nothing else stands
    certificate   INTEGER PRIMARY KEY REFERENCES certificate (id),
    says          TEXT NOT NULL,  -- the listed status | not-in-use | unclear | silent
    eui           TEXT,           -- claims that the full lists
    role          INTEGER,
    usage         TEXT,
    manufacturing INTEGER,
    flags         INTEGER
);
"""

INCIDENT: Final = """
CREATE TABLE incident (           -- applied files that were seen with other bytes; a rebuild ends it
    kind TEXT NOT NULL,           -- full | delta
    day  TEXT NOT NULL,
    seen TEXT NOT NULL,           -- UTC
    was  TEXT NOT NULL,           -- SHA-256 of the applied file
    now  TEXT,                    -- SHA-256 of the other one; NULL: another size
    PRIMARY KEY (kind, day)
) WITHOUT ROWID;
"""

JOURNAL_INDEXES: Final = """
CREATE INDEX change_certificate ON change (serial, issuer);
CREATE INDEX change_recorded ON change (recorded);
CREATE INDEX quarantine_record ON quarantine (record) WHERE record IS NOT NULL;
CREATE INDEX quarantine_identity ON quarantine (serial) WHERE serial IS NOT NULL;
"""

TABLES: Final = f"""{LIST_TABLES}
CREATE TABLE mirror (             -- one row: this generation
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    position   TEXT,              -- date of the last delta, or the day before the full; NULL while building
    full_day   TEXT,              -- date of the newest full that was used
    digest     BLOB NOT NULL,     -- state of the set digest, see ledger.py
    created    TEXT NOT NULL,     -- UTC
    lineage    TEXT NOT NULL,     -- 16 hex digits; the same as long as the journal continues without a break
    journal_from TEXT,            -- changes of this date and later are in the journal; NULL while building
    overlap_days INTEGER NOT NULL DEFAULT {OVERLAP_DAYS},  -- how far before the full deltas win over it
    unproven_since TEXT,          -- date; NULL: the overlap deltas of the full prove the mirror
    missing    TEXT,              -- dates of overlap deltas that were never applied, separated by blanks
    until_full INTEGER NOT NULL DEFAULT 0,  -- 1: unproven until the next full, whatever deltas arrive
    inode      INTEGER            -- of this file when it was published; another one means that it is a copy
);
CREATE TABLE extract (            -- the ledger: every file that was ever applied, in order
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL,
    kind        TEXT NOT NULL,    -- full | delta | repair (a full that was merged by reconcile)
    day         TEXT NOT NULL,
    size        INTEGER NOT NULL, -- bytes, as served
    modified    TEXT,             -- UTC, as the source stated it
    sha256      TEXT NOT NULL,
    records     INTEGER NOT NULL,
    inserted    INTEGER NOT NULL,
    updated     INTEGER NOT NULL,
    unchanged   INTEGER NOT NULL,
    withdrawn   INTEGER NOT NULL,
    quarantined INTEGER NOT NULL,
    committed   TEXT NOT NULL,    -- UTC
    seconds     REAL NOT NULL,
    digest      TEXT,             -- set digest that the mirror had last while this was its newest file
    position    TEXT,             -- position of the mirror with that digest
    superseded  INTEGER NOT NULL DEFAULT 0  -- 1: its statements do not count, other bytes were found;
                                  -- 2: applied by schema 5, which stored no confirmations: proves nothing
);
CREATE TABLE issuer (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,    -- RFC 4514
    same_as INTEGER REFERENCES issuer (id)  -- an earlier name that RFC 5280 7.1 calls equal, else NULL
);
{ISSUER_INDEX}
{LIST_INDEX}
CREATE TABLE certificate (        -- identity: issuer and serial
    id            INTEGER PRIMARY KEY,
    serial        TEXT NOT NULL,  -- upper-case hex
    issuer        INTEGER NOT NULL REFERENCES issuer (id),
    eui           TEXT,           -- 00-DB-12-34-56-78-90-A4
    kind          INTEGER NOT NULL,
    role          INTEGER,        -- Remote Party Role
    usage         TEXT,           -- DS | KA
    status        TEXT NOT NULL,  -- the last status that the Repository stated: P I N E R
    subject       TEXT,           -- RFC 4514; NULL where empty (devices)
    not_before    INTEGER NOT NULL,  -- seconds since 1970, UTC
    not_after     INTEGER NOT NULL,
    ski           TEXT,
    manufacturing INTEGER,
    flags         INTEGER NOT NULL,  -- model.certificate.Flag
    first_seen    INTEGER NOT NULL,  -- days since 1970: date of the earliest file that states this body
    last_changed  INTEGER NOT NULL,
    withdrawn     INTEGER,        -- date of the full that first did not list it
    revoked       INTEGER,        -- seconds since 1970, UTC: since when a list in force revokes it
    extract       INTEGER NOT NULL REFERENCES extract (id),  -- the file that last changed it
    der           BLOB NOT NULL,
    stated        INTEGER         -- the file with the last statement; NULL: the same as extract
);
{DISAGREEMENT}CREATE TABLE census (             -- how many rows of each sort, kept up to date row by row
    kind      INTEGER NOT NULL,
    status    TEXT NOT NULL,
    withdrawn INTEGER NOT NULL,   -- 0 | 1
    count     INTEGER NOT NULL,
    PRIMARY KEY (kind, status, withdrawn)
) WITHOUT ROWID;
CREATE TABLE fingerprint (        -- SHA-1 and SHA-256 of certificates, see fingerprints.py
    digest      BLOB NOT NULL,
    certificate INTEGER NOT NULL REFERENCES certificate (id),
    PRIMARY KEY (digest, certificate)
) WITHOUT ROWID;
CREATE TABLE change (             -- the journal; never rewritten, copied from generation to generation
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    day      TEXT NOT NULL,
    change   TEXT NOT NULL,       -- journal.ChangeKind
    kind     INTEGER NOT NULL,
    eui      TEXT,
    serial   TEXT NOT NULL,
    issuer   INTEGER NOT NULL REFERENCES issuer (id),
    before   TEXT,                -- status before; NULL: unknown, withdrawn or revoked by a list
    after    TEXT,                -- status after; NULL: withdrawn or revoked by a list
    extract  INTEGER NOT NULL REFERENCES extract (id),  -- the file, or the newest one before the list
    list     INTEGER REFERENCES revocation_list (id),   -- the list that changed it, else NULL
    recorded INTEGER              -- seconds since 1970, UTC, of the line; NULL before schema 6
);
{INCIDENT}
CREATE TABLE quarantine (         -- records that are not served, as the file contains them
    id      INTEGER PRIMARY KEY,
    extract INTEGER NOT NULL REFERENCES extract (id),
    number  INTEGER NOT NULL,     -- place in the file, from 1; 0: not from the file, but served before
    reason  TEXT NOT NULL,        -- model.certificate.RejectReason
    detail  TEXT NOT NULL,
    xml     BLOB NOT NULL,
    accepted TEXT,                -- UTC: when an operator accepted it; it is not reported any more
    serial  TEXT,                 -- identity, if known
    issuer  INTEGER REFERENCES issuer (id),
    record  BLOB,                 -- first 16 bytes of SHA-256 over reason and xml
    later   INTEGER NOT NULL DEFAULT 0,  -- conflict: the body that was served came earlier in the same file
    first_seen INTEGER            -- conflict: earliest date of this body, if it is not the date of the file
);
{JOURNAL_INDEXES}"""

_ORGANISATION: Final = KINDS.index(Kind.ORGANISATION)
_OCA: Final = KINDS.index(Kind.OCA)
_KIND_CASE = "CASE {}.kind " + " ".join(f"WHEN {n} THEN '{k}'" for n, k in enumerate(KINDS)) + " END"

IN_USE: Final = "(c.status = 'I' AND c.withdrawn IS NULL AND c.revoked IS NULL)"
"""Whether row ``c`` of ``certificate`` is In-Use."""

MARKED: Final = """EXISTS (
           SELECT 1 FROM disagreement AS d JOIN mirror AS m ON m.one = 1
            WHERE d.certificate = c.id AND m.unproven_since IS NOT NULL
              AND CASE d.says WHEN 'silent' THEN 0 WHEN 'unclear' THEN m.until_full
                              ELSE m.missing <> '' END)"""
"""Whether row ``c`` is marked: a delta that would explain what the full says may be missing."""

_REVOKED_BY: Final = """CASE WHEN c.revoked IS NOT NULL THEN (
           SELECT {} FROM revocation AS r JOIN revocation_list AS l ON l.id = r.list
            WHERE r.serial = c.serial AND r.issuer = coalesce(i.same_as, i.id)
            ORDER BY r.since LIMIT 1) END"""
"""Column of the list that revokes a row of ``c``, whose issuer is ``i``. Only looked up if one does."""

BELOW: Final = (
    "a.issuer = c.issuer AND (a.key_id = x'' OR instr(c.der, a.key_id) OR NOT instr(c.der, x'0603551D23'))"
)
"""Whether row ``a`` of ``revoked_authority`` is above row ``c`` of ``certificate``: by name and key.

A certificate contains the key identifier of its issuer. One without this extension could be of any key.
"""

EARLIEST: Final = -62_167_219_200
LATEST: Final = 253_402_300_799
"""First and last second of the years 0 to 9999. SQLite writes no other, which older mirrors can have."""


def _time(column: str) -> str:
    return f"strftime('%Y-%m-%dT%H:%M:%SZ', max({EARLIEST}, min({column}, {LATEST})), 'unixepoch')"


_UNTIL: Final = f"""CASE WHEN c.kind IN ({_ORGANISATION}, {_OCA}) THEN (
           SELECT {{}}
             FROM revocation_list AS l JOIN issuer AS n ON n.name = l.issuer
            WHERE l.in_force <> 0 AND l.complete
              AND l.kind = CASE c.kind WHEN {_OCA} THEN 'arl' ELSE 'crl' END
              AND coalesce(n.same_as, n.id) = coalesce(i.same_as, i.id)) END"""
"""Latest nextUpdate of the complete lists in force of the issuer ``i`` of row ``c``."""
_LATEST_UPDATE: Final = f"max(coalesce(l.next_update, {LATEST}))"

REVOCATION_UNKNOWN: Final = f"""(c.kind IN ({_ORGANISATION}, {_OCA})
       AND coalesce({_UNTIL.format(_LATEST_UPDATE)}, {EARLIEST}) < :at)"""
"""Whether lists do not tell at ``:at``, in seconds since 1970, if row ``c`` of issuer ``i`` is revoked."""

_IS_BELOW_REVOKED: Final = f"EXISTS (SELECT 1 FROM revoked_authority AS a WHERE {BELOW})"


def unusable_sql(at: str) -> str:
    """Return :func:`smki_sync.usability.unusable_reason` as SQL for row ``c``, with stale lists reported.

    ``at``: SQL for seconds since 1970, UTC.
    """
    return f"""CASE WHEN c.revoked IS NOT NULL OR c.status = 'R' THEN 'revoked'
            WHEN c.withdrawn IS NOT NULL THEN 'withdrawn'
            WHEN c.status NOT IN ('I', 'E') THEN 'not-in-use'
            WHEN {_IS_BELOW_REVOKED} THEN 'issuer-revoked'
            WHEN c.status = 'E' OR c.not_after < {at} THEN 'expired'
            WHEN c.not_before > {at} THEN 'not-yet-valid' END"""


_COLUMNS: Final = f"""
SELECT c.eui,
       {_KIND_CASE.format("c")} AS kind,
       c.role, c.usage, c.status,
       {IN_USE} AS in_use,
       c.serial, i.name AS issuer, coalesce(c.subject, '') AS subject,
       {_time("c.not_before")} AS not_before,
       {_time("c.not_after")} AS not_after,
       c.ski, c.manufacturing,
       date(c.first_seen * 86400, 'unixepoch') AS first_seen,
       date(c.last_changed * 86400, 'unixepoch') AS last_changed,
       date(c.withdrawn * 86400, 'unixepoch') AS withdrawn,
       c.der, c.flags, x.name AS file,
       {_time("c.revoked")} AS revoked,
       {_REVOKED_BY.format("l.file || coalesce(' number ' || l.number, '')")} AS revoked_by,
       {_REVOKED_BY.format("r.reason")} AS revocation_reason,
       {MARKED} AS unproven,
       (SELECT {_time("min(a.since)")} FROM revoked_authority AS a WHERE {BELOW}) AS issuer_revoked,
       (SELECT a.subject FROM revoked_authority AS a WHERE {BELOW} ORDER BY a.since LIMIT 1)
         AS revoked_authority,
       {_UNTIL.format(_time(_LATEST_UPDATE))} AS revocation_until"""
_FROM: Final = """
  FROM certificate AS c
  LEFT JOIN issuer AS i ON i.id = c.issuer
  LEFT JOIN extract AS x ON x.id = c.extract
"""
CERTIFICATES: Final = f"{_COLUMNS}{_FROM}"
"""Rows in the field's notation. A ``WHERE`` on columns of ``c`` may be appended."""

VIEWS: Final = f"""
CREATE VIEW certificates AS       -- for people: one row for each certificate
{_COLUMNS.strip()},
       {unusable_sql("CAST(strftime('%s', 'now') AS INTEGER)")} AS unusable{_FROM.rstrip()};
CREATE VIEW changes AS
SELECT j.sequence, j.day AS date, j.change,
       {_KIND_CASE.format("j")} AS kind,
       j.eui, j.serial, i.name AS issuer, j.before AS "from", j.after AS "to",
       coalesce(l.file, x.name) AS file,
       strftime('%Y-%m-%dT%H:%M:%SZ', coalesce(j.recorded, strftime('%s', x.committed)), 'unixepoch')
         AS recorded
  FROM change AS j
  LEFT JOIN issuer AS i ON i.id = j.issuer
  LEFT JOIN extract AS x ON x.id = j.extract
  LEFT JOIN revocation_list AS l ON l.id = j.list;
"""

UPGRADE_FROM_5: Final = f"""
DROP VIEW certificates;
DROP VIEW changes;
ALTER TABLE mirror ADD COLUMN overlap_days INTEGER NOT NULL DEFAULT {OVERLAP_DAYS};
ALTER TABLE mirror ADD COLUMN unproven_since TEXT;
ALTER TABLE mirror ADD COLUMN missing TEXT;
ALTER TABLE mirror ADD COLUMN until_full INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mirror ADD COLUMN inode INTEGER;
ALTER TABLE extract ADD COLUMN position TEXT;
ALTER TABLE extract ADD COLUMN superseded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE certificate ADD COLUMN stated INTEGER;
{DISAGREEMENT}
DROP INDEX change_list;
ALTER TABLE change ADD COLUMN recorded INTEGER;
DROP TABLE incident;
{INCIDENT}
ALTER TABLE quarantine ADD COLUMN serial TEXT;
ALTER TABLE quarantine ADD COLUMN issuer INTEGER REFERENCES issuer (id);
ALTER TABLE quarantine ADD COLUMN record BLOB;
ALTER TABLE quarantine ADD COLUMN later INTEGER NOT NULL DEFAULT 0;
ALTER TABLE quarantine ADD COLUMN first_seen INTEGER;
{JOURNAL_INDEXES}
{LIST_UPGRADE}
{VIEWS}
UPDATE mirror SET unproven_since = date('now'), missing = '', until_full = 1;
UPDATE extract SET position = day WHERE kind <> 'repair';
UPDATE extract SET superseded = 2 WHERE kind = 'delta';
PRAGMA user_version = 6;
"""
"""Upgrades a mirror of schema 5 in milliseconds: no row of ``certificate`` is written."""

NEVER_ENDS: Final = 253_370_764_800
"""First second of the year 9999, in which certificates that do not expire end (RFC 5280 4.1.2.5)."""

FEW_INDEXES: Final = f"""
CREATE INDEX certificate_others ON certificate (kind, ski) WHERE kind <> 0;
CREATE INDEX certificate_role ON certificate (role) WHERE role IS NOT NULL;
CREATE INDEX certificate_revoked ON certificate (revoked) WHERE revoked IS NOT NULL;
CREATE INDEX certificate_ends ON certificate (not_after) WHERE not_after < {NEVER_ENDS};
"""
"""Indexes without devices: created before the load, because they cost it nothing."""

INDEXES: Final = """
CREATE UNIQUE INDEX certificate_identity ON certificate (serial, issuer);
CREATE INDEX certificate_eui ON certificate (eui);
"""

DEVICE_INDEX: Final = "CREATE INDEX certificate_ski ON certificate (ski);"
"""Only if the operator configures it (``mirror.index_devices``)."""

COUNTING: Final = """
SELECT max(x.id) FROM extract AS x JOIN mirror AS m
 WHERE x.superseded <> 1
   AND iif(x.kind = 'delta', x.day >= date(m.full_day, '-' || m.overlap_days || ' days'), x.day = m.full_day)
 GROUP BY x.kind = 'delta', x.day
"""
"""Ledger ids of the full and of each delta that wins over it; of several editions, the newest."""

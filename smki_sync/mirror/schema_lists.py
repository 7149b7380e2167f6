"""The tables of what is published beside the extracts: ARL, CRL and anchor slots.

For: :mod:`.schema`, which they are a part of. Refuses: to know who fills them.
"""

from typing import Final

LIST_TABLES: Final = """
CREATE TABLE revocation_list (    -- every ARL and CRL that was ever applied, in order
    id          INTEGER PRIMARY KEY,
    file        TEXT NOT NULL,    -- its name on offer
    kind        TEXT NOT NULL,    -- arl | crl
    issuer      TEXT NOT NULL,    -- RFC 4514
    key_id      TEXT NOT NULL,    -- subject key identifier of the key that signed it
    number      TEXT,             -- crlNumber in decimal: up to 20 octets
    this_update INTEGER NOT NULL, -- seconds since 1970, UTC
    next_update INTEGER,
    entries     INTEGER NOT NULL,
    sha256      TEXT NOT NULL,    -- of its DER
    applied     TEXT NOT NULL,    -- UTC
    in_force    INTEGER NOT NULL, -- 1, or 0 once a newer list of the same key has taken its place
    der         BLOB              -- NULL once it is not in force
);
CREATE TABLE revocation (         -- the lines of the lists in force
    serial TEXT NOT NULL,
    issuer INTEGER NOT NULL REFERENCES issuer (id),
    list   INTEGER NOT NULL REFERENCES revocation_list (id),
    since  INTEGER NOT NULL,      -- seconds since 1970, UTC
    reason TEXT,                  -- RFC 5280 5.3.1; NULL where the list gives none
    PRIMARY KEY (serial, issuer, list)
) WITHOUT ROWID;
CREATE TABLE companion (          -- lists and anchor slots as they were fetched last, also if refused
    name     TEXT PRIMARY KEY,
    size     INTEGER NOT NULL,    -- octets, as listed
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
    UNIQUE (name, sha256, code)
);
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

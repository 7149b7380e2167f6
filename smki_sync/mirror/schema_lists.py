"""The tables of what is published beside the extracts: ARL and CRL.

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
"""

"""Keys of earlier versions, and what replaces each."""

from collections.abc import Mapping
from typing import Final

_AFTER_RUN: Final = (
    "use hooks.after_run. It is called after every run; test `outcome` in the JSON document on stdin"
)
_DELETE: Final = "Delete the line: no replacement is necessary"

REMOVED_KEYS: Final[Mapping[str, str]] = {
    "repository.parallel": f"{_DELETE}. A file is downloaded in one session",
    "repository.overlap_bytes": f"{_DELETE}. A full of 4 MiB or more is loaded during its download",
    "repository.changing_seconds": f"{_DELETE}. A run waits up to 300 seconds for a file that changes",
    "retry.factor": f"{_DELETE}. Each pause is three times as long as the one before",
    "retry.longest_pause_seconds": f"{_DELETE}. A pause is never longer than 300 seconds",
    "retry.jitter": f"{_DELETE}. Each pause varies by 20 %",
    "policy.quarantine_allowance": f"{_DELETE}. Five unreadable records are accepted in any file;"
    " policy.quarantine_share limits the others",
    "policy.shrink_allowance": f"{_DELETE}. Twenty certificates may always be removed;"
    " policy.max_shrink_share limits the others",
    "policy.not_in_use_allowance": f"{_DELETE}. Five certificates that are not In-Use are accepted in any"
    " full; policy.max_not_in_use_share limits the others",
    "limits.banner_seconds": f"{_DELETE}. The server has 30 seconds for its SSH banner, or"
    " limits.login_seconds if that is shorter",
    "limits.slow_rate": f"{_DELETE}. A connection with less than 1,000 bytes per second is too slow",
    "limits.slow_seconds": f"{_DELETE}. The download rate is measured over 300 seconds",
    "limits.keep_alive_seconds": f"{_DELETE}. A keep-alive message is sent every 30 seconds",
    "limits.listing_entries": f"{_DELETE}. A listing may have 10,000 names",
    "limits.name_length": f"{_DELETE}. A name may have 255 characters",
    "limits.companion_bytes": f"{_DELETE}. An ARL, a CRL or a slot file may have 64 MiB",
    "limits.decompressed_bytes": f"{_DELETE}. An extract may have 1 TiB of XML",
    "limits.ratio": f"{_DELETE}. One byte of gzip may become 50 bytes of XML",
    "limits.records": f"{_DELETE}. An extract may have 1,000,000,000 records",
    "limits.field_bytes": f"{_DELETE}. An element may have 64 KiB of text",
    "limits.depth": f"{_DELETE}. Elements may be nested to a depth of 16",
    "limits.record_bytes": f"{_DELETE}. A record may have 1 MiB of XML",
    "limits.leading_bytes": f"{_DELETE}. There may be 64 KiB of XML before the root element",
    "limits.names": f"{_DELETE}. An extract may have 100,000 distinct XML names",
    "hooks.on_updated": _AFTER_RUN,
    "hooks.on_attention": _AFTER_RUN,
    "hooks.on_failed": _AFTER_RUN,
}
"""Why a key is no longer there and what to do, by the name of the key. A clause that completes a message."""

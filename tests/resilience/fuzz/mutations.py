"""Octets that were once sound: the corpus, and what chance makes of it.

For: fuzzing with Hypothesis, so that a failure is made small before it is shown. Every file of
``corpus`` is read as it stands, and is a seed for mutations. Refuses: to know what the octets mean.

``SMKI_SYNC_FUZZ_EXAMPLES`` says how many examples each test tries: few in CI, millions over a night.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

CORPUS: Final = Path(__file__).parent / "corpus"
EXAMPLES: Final = int(os.environ.get("SMKI_SYNC_FUZZ_EXAMPLES", "150"))

fuzzing = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="SMKI_SYNC_FUZZ_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
"""In CI the same examples each time; a longer run tries new ones."""


def corpus(kind: str) -> dict[str, bytes]:
    """The files of one directory of the corpus by name."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / kind).iterdir())}


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """A seed with a few things done to it. ``words``: what to put in besides chance octets."""
    octets = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(octets)))
        match draw(st.integers(0, 5)):
            case 0 if octets:
                octets[at % len(octets)] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del octets[at:]
            case 2:
                del octets[at : at + draw(st.integers(1, 40))]
            case 3:
                octets[at:at] = draw(st.sampled_from(words))
            case 4:
                octets[at:at] = draw(st.binary(max_size=8))
            case _:
                other = draw(st.sampled_from(seeds))
                begin = draw(st.integers(0, len(other)))
                octets[at:at] = other[begin : begin + draw(st.integers(1, 400))]
    return bytes(octets)

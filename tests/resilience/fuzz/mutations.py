"""Mutations of valid files, for fuzzing with Hypothesis, which makes a failing example small.

Every file of ``corpus`` is read unchanged, and is a seed for mutations. ``SMKI_SYNC_FUZZ_EXAMPLES`` is the
number of examples for each test: few in CI, millions over a night.
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
"""In CI the same examples each time. A longer run tries new ones."""


def corpus(kind: str) -> dict[str, bytes]:
    """The files of one directory of the corpus, by name."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / kind).iterdir())}


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """A seed with a few mutations. ``words``: inserted in addition to random bytes."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 5)):
            case 0 if data:
                data[at % len(data)] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del data[at:]
            case 2:
                del data[at : at + draw(st.integers(1, 40))]
            case 3:
                data[at:at] = draw(st.sampled_from(words))
            case 4:
                data[at:at] = draw(st.binary(max_size=8))
            case _:
                other = draw(st.sampled_from(seeds))
                begin = draw(st.integers(0, len(other)))
                data[at:at] = other[begin : begin + draw(st.integers(1, 400))]
    return bytes(data)

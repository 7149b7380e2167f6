"""Work on many things in threads, some at a time and in their order.

For: proving signatures: OpenSSL lets go of the interpreter, so threads use every core. What is on the way is
bounded, and where the taker stops nothing is begun any more. Refuses: to know what the work is.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Final, TypeVar

BATCH: Final = 256
"""Things that a thread takes at a time: some 20 ms of work, so that handing it over costs little."""

Thing = TypeVar("Thing")
Done = TypeVar("Done")


def usual_threads() -> int:
    """Two a core: while OpenSSL proves a signature, another thread can have the interpreter."""
    return 2 * len(os.sched_getaffinity(0))


def in_threads(work: Callable[[list[Thing]], Done], things: Iterator[Thing], threads: int) -> Iterator[Done]:
    """What the work on each batch gives, in the order of the batches."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="verify")
    waiting: deque[Future[Done]] = deque()
    try:
        while some := list(islice(things, BATCH)):
            waiting.append(pool.submit(work, some))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)

"""What others see who have ``mirror.db`` open with plain sqlite3, while a run works."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.mirror_builders import Record, Row, apply, ask, build, clock, delta, entry, november
from support.mirror_processes import BECOME_NOBODY, let_everybody_read, needs_root, reader, run

from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.queries import open_mirror, read_counts
from smki_sync.mirror.store import MirrorStore
from unit.mirror.conftest import publish

COUNT = "SELECT count(*) FROM certificates"
PLAIN_OPEN = f"""
import sqlite3, sys
{BECOME_NOBODY}
db = sqlite3.connect(sys.argv[1])
print(db.execute("SELECT count(*) FROM certificates").fetchone()[0])
db.close()
"""


def test_a_reader_keeps_the_generation_that_it_has_open(directory: MirrorDirectory) -> None:
    publish(directory, [entry(1)])
    with reader(directory.link) as early:
        assert early.ask(COUNT) == "[(1,)]"
        publish(directory, [entry(1), entry(2)])
        directory.discard_superseded(keep=0)
        assert early.ask(COUNT) == "[(1,)]"
        with reader(directory.link) as late:
            assert late.ask(COUNT) == "[(2,)]"


def test_there_is_no_instant_without_a_mirror(
    directory: MirrorDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before and after every move of a file that publishing makes, ``mirror.db`` opens."""
    publish(directory, [entry(1)])
    path = directory.next_generation()
    build(path, [entry(1), entry(2)])
    seen: list[list[Row]] = []

    def watched(move: Callable[..., object]) -> Callable[..., object]:
        def moved(*args: object, **named: object) -> object:
            seen.append(ask(directory.link, COUNT))
            done = move(*args, **named)
            seen.append(ask(directory.link, COUNT))
            return done

        return moved

    for move in ("replace", "rename", "unlink", "symlink_to"):
        monkeypatch.setattr(Path, move, watched(getattr(Path, move)))
    directory.publish(path)
    assert seen[0] == [(1,)]
    assert seen[-1] == [(2,)]


def test_a_transaction_sees_one_state_while_deltas_commit(directory: MirrorDirectory) -> None:
    path = publish(directory, [entry(1)])
    with reader(directory.link) as held:
        held.ask("BEGIN")
        assert held.ask(COUNT) == "[(1,)]"
        apply(path, november(10), [entry(2)])
        apply(path, november(11), [entry(3)])
        assert held.ask(COUNT) == "[(1,)]"
        held.ask("COMMIT")
        assert held.ask(COUNT) == "[(3,)]"


def test_nobody_sees_a_delta_before_it_is_whole(directory: MirrorDirectory) -> None:
    path = publish(directory, [entry(1)])
    with reader(directory.link) as other:

        def looking() -> Iterator[Record]:
            for n in range(2, 5):
                yield entry(n)
                assert other.ask(COUNT) == "[(1,)]"

        with MirrorStore(path) as store:
            store.apply_delta(delta(november(10)), looking(), clock=clock)
        assert other.ask(COUNT) == "[(4,)]"


def test_nobody_sees_a_build_before_it_is_published(directory: MirrorDirectory) -> None:
    publish(directory, [entry(1)])
    with reader(directory.link) as other:

        def looking() -> Iterator[Record]:
            for n in range(2, 5):
                yield entry(n)
                assert other.ask(COUNT) == "[(1,)]"

        build(directory.next_generation(), looking(), old=directory.current())
        assert other.ask(COUNT) == "[(1,)]"


def test_our_own_reader_sees_one_state_while_a_delta_commits(directory: MirrorDirectory) -> None:
    path = publish(directory, [entry(1)])
    with open_mirror(directory.link) as db:
        before = read_counts(db)
        apply(path, november(10), [entry(2)])
        assert read_counts(db) == before
    with open_mirror(directory.link) as db:
        assert read_counts(db).total == 2


@needs_root
def test_a_user_who_may_not_write_reads_right_after_a_full(public: MirrorDirectory) -> None:
    publish(public, [entry(1)])
    let_everybody_read(public.root)
    with reader(public.link, nobody=True) as nobody:
        assert nobody.ask(COUNT) == "[(1,)]"
        assert nobody.ask("DELETE FROM certificate").startswith("ERROR")


@needs_root
def test_a_user_who_may_not_write_reads_before_during_and_after_a_delta(public: MirrorDirectory) -> None:
    path = publish(public, [entry(1)])
    let_everybody_read(public.root)
    with reader(public.link, nobody=True) as early:
        assert early.ask(COUNT) == "[(1,)]"

        def looking() -> Iterator[Record]:
            yield entry(2)
            assert early.ask(COUNT) == "[(1,)]"
            with reader(public.link, nobody=True) as during:
                assert during.ask(COUNT) == "[(1,)]"

        with MirrorStore(path) as store:
            store.apply_delta(delta(november(10)), looking(), clock=clock)
            assert early.ask(COUNT) == "[(2,)]"
        assert early.ask(COUNT) == "[(2,)]"
    with reader(public.link, nobody=True) as late:
        assert late.ask(COUNT) == "[(2,)]"


@needs_root
def test_a_user_who_may_not_write_opens_the_mirror_the_plain_way(public: MirrorDirectory) -> None:
    path = publish(public, [entry(1)])
    let_everybody_read(public.root)
    apply(path, november(10), [entry(2)])
    assert run(PLAIN_OPEN, public.link) == "2"


@needs_root
def test_the_owner_who_reads_does_not_shut_other_users_out(public: MirrorDirectory) -> None:
    """Read-only, as the contract has it; closing a connection that may write removes the side files."""
    path = publish(public, [entry(1)])
    let_everybody_read(public.root)
    apply(path, november(10), [entry(2)])
    with reader(public.link) as owner:
        assert owner.ask(COUNT) == "[(2,)]"
    with reader(public.link, nobody=True) as nobody:
        assert nobody.ask(COUNT) == "[(2,)]"


@needs_root
def test_our_own_reader_does_not_shut_other_users_out(public: MirrorDirectory) -> None:
    publish(public, [entry(1)])
    let_everybody_read(public.root)
    with open_mirror(public.link) as db:
        assert read_counts(db).total == 1
    assert run(PLAIN_OPEN, public.link) == "1"


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_side_files_stay_after_a_run(directory: MirrorDirectory, suffix: str) -> None:
    path = publish(directory, [entry(1)])
    assert path.with_name(path.name + suffix).exists()
    apply(path, november(10), [entry(2)])
    assert path.with_name(path.name + suffix).exists()

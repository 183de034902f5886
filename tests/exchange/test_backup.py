"""Copies of a journal: whole, or not there."""

import threading
from contextlib import closing
from pathlib import Path

import pytest

from exchange.backup import copy_journal, restore_journal
from exchange.engine import Engine, read_exchange
from exchange.journal import SqliteJournal, read_blocks
from tests.exchange.test_journal import blocks_of, change, code_of, written
from tests.system.desk import run

BLOCKS = [b"first", b"", b"the third block" * 500, b"4"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "exchange.journal"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "elsewhere" / "copy.journal"


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_a_copy_is_the_journal(path, target):
    assert copy_journal(written(path, BLOCKS), target) == 4
    assert names(target.parent) == ["copy.journal"]
    assert list(read_blocks(target)) == list(read_blocks(path))


def test_a_copy_of_a_journal_that_is_held_has_all_that_was_acknowledged(path, target):
    with closing(SqliteJournal(path)) as journal:
        for block in BLOCKS:
            journal.append(block).result()
        copy_journal(path, target)
        journal.append(b"later").result()
    assert blocks_of(target) == BLOCKS
    assert blocks_of(path) == [*BLOCKS, b"later"]


def test_copies_made_while_somebody_writes_are_each_the_journal_of_one_moment(path, tmp_path):
    block, made, is_over = b"a block " * 300, [], threading.Event()

    def copy_on():
        while not is_over.is_set():
            made.append((copy := tmp_path / f"copy {len(made)}", copy_journal(path, copy)))

    with closing(SqliteJournal(path)) as journal:
        journal.append(block).result()
        copying = threading.Thread(target=copy_on)
        copying.start()
        while len(made) < 5 and copying.is_alive():
            journal.append(block).result()
        is_over.set()
        copying.join()
        last = journal._number
    assert len(made) >= 5
    counts = [count for _, count in made]
    assert counts == sorted(counts) and 1 <= counts[0] < counts[-1] <= last
    for copy, count in made:
        assert blocks_of(copy) == [block] * count


def test_a_copy_is_sealed(path, target):
    with closing(SqliteJournal(path)) as journal:
        for block in BLOCKS:
            journal.append(block).result()
        copy_journal(path, target)
    change(target, "DELETE FROM block WHERE number = 4")
    assert code_of(lambda: blocks_of(target)) == "journal_corrupt"


def test_of_a_damaged_journal_there_is_no_copy(path, target):
    written(path, BLOCKS)
    change(path, "UPDATE block SET payload = x'00' WHERE number = 3")
    assert code_of(lambda: copy_journal(path, target)) == "journal_corrupt"
    assert names(target.parent) == []


def test_a_copy_replaces_nothing(path, target):
    copy_journal(written(path, BLOCKS), target)
    assert code_of(lambda: copy_journal(path, target)) == "file_exists"


def test_what_is_no_journal_is_not_copied(path, target):
    assert code_of(lambda: copy_journal(path, target)) == "journal_missing"
    path.write_bytes(b"This is not a journal. " * 100)
    assert code_of(lambda: copy_journal(path, target)) == "journal_corrupt"
    assert not target.parent.exists()


def test_a_copy_where_nobody_writes(path):
    written(path, BLOCKS)
    assert code_of(lambda: copy_journal(path, Path("/proc/self/copy"))) == "journal_unwritable"


def test_a_journal_is_not_restored_beside_the_answers_of_another(path, target):
    written(path, BLOCKS)
    target.parent.mkdir()
    (requests := target.with_name("copy.journal.requests")).touch()
    assert code_of(lambda: restore_journal(path, target)) == "file_exists"
    requests.unlink()
    assert restore_journal(path, target) == 4


def test_an_exchange_goes_on_from_a_copy(path, tmp_path):
    """By the commands: back up, check, restore, check; the restored one takes commands behind the last."""
    journal, copy, restored = tmp_path / "a.journal", tmp_path / "b.journal", tmp_path / "c.journal"
    engine = Engine(SqliteJournal(journal))
    for _ in engine.open(None, 0):
        pass
    ended = run(f"backup {journal} {copy}")  # while it is held
    assert (ended.exit_code, ended.stdout) == (0, f"carbonex: {copy}: 1 blocks of {journal}\n")
    engine.journal.close()

    assert run(f"restore {copy} {restored}").exit_code == 0
    for path in (copy, restored):
        assert run(f"check {path}").exit_code == 0
    assert read_exchange(restored).digest() == engine.exchange.digest()
    with closing(SqliteJournal(restored)) as held:
        again = Engine(held)
        for _ in again.open(None, 0):
            pass
    assert run(f"restore {copy} {restored}").exit_code == 1
    assert "file_exists" in run(f"backup {copy} {restored}").stderr
    change(copy, "DELETE FROM block")
    assert run(f"check {copy}").exit_code == 2
    assert run(f"backup {copy} {tmp_path / 'd.journal'}").exit_code == 2

"""The journal: what was written is read back, and nothing else is taken for it."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.journal import FORMAT_VERSION, Batch, JournalError, MemoryJournal, SqliteJournal, read_blocks
from exchange.rows import COMMAND, CommandKind

BLOCKS = [b"first", b"", b"the third block", b"4"]


# ---------------------------------------------------------------- batches


def number(dtype):
    return st.integers(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))


commands = st.tuples(*(number(COMMAND[name]) for name in COMMAND.names))
details = st.binary(max_size=40) | st.text(max_size=20).map(str.encode)
batches = st.lists(st.tuples(commands, details), min_size=1, max_size=8).map(
    lambda pairs: Batch(np.array([row for row, _ in pairs], COMMAND), [detail for _, detail in pairs])
)


@given(batches)
def test_a_batch_is_decoded_as_it_was_encoded(batch):
    decoded = Batch.decode(batch.encode())

    assert decoded.rows.dtype == COMMAND
    assert decoded.rows.tolist() == batch.rows.tolist()
    assert decoded.details == batch.details


@given(batches)
def test_trading_rows_alone_make_the_same_block_as_a_batch_without_details(batch):
    rows = batch.rows
    rows["kind"] = np.maximum(rows["kind"], 1)

    assert Batch.encode_rows(rows.tobytes()) == Batch(rows, [b""] * rows.size).encode()


@given(batches, st.data())
def test_rows_that_lack_their_detail_make_no_block(batch, data):
    rows = batch.rows
    rows["kind"] = np.maximum(rows["kind"], 1)
    rows["kind"][data.draw(st.integers(0, rows.size - 1))] = CommandKind.CONTROL

    with pytest.raises(ValueError, match="a CONTROL command has a detail"):
        Batch.encode_rows(rows.tobytes())


@given(batches)
def test_a_batch_cut_short_is_noticed(batch):
    block = batch.encode()
    for length in range(len(block)):
        with pytest.raises(ValueError, match="block"):
            Batch.decode(block[:length])


@given(batches, st.binary(min_size=1, max_size=8))
def test_a_batch_with_something_behind_it_is_noticed(batch, more):
    with pytest.raises(ValueError, match="block is not as long as its details"):
        Batch.decode(batch.encode() + more)


@given(st.lists(batches, min_size=1, max_size=4))
def test_blocks_decoded_together_are_what_they_are_one_by_one(several):
    together = Batch.decode_all([batch.encode() for batch in several])

    assert together.rows.tolist() == [row for batch in several for row in batch.rows.tolist()]
    assert together.details == [detail for batch in several for detail in batch.details]


@given(batches, batches)
def test_what_one_block_has_too_much_another_does_not_make_up_for(first, second):
    whole = Batch(second.rows, [b"detail", *second.details[1:]]).encode()
    with pytest.raises(ValueError, match="block is not as long as its details"):
        Batch.decode_all([first.encode() + b"l", whole[:-1]])


def test_rows_read_back_may_be_written():
    # Rows that can't be written are another type to Numba.
    batch = Batch(np.zeros(1, COMMAND), [b"detail"])
    assert Batch.decode(batch.encode()).rows.flags.writeable


# ---------------------------------------------------------------- writing and reading


@pytest.fixture
def path(tmp_path):
    return tmp_path / "exchange.journal"


def written(path, blocks=BLOCKS):
    """A journal of these blocks, closed."""
    with closing(SqliteJournal(path)) as journal:
        for block in blocks:
            journal.append(block).result()
    return path


def blocks_of(path):
    return [block for _, _, block in read_blocks(path)]


def code_of(action):
    """The code of the JournalError that an action raises."""
    with pytest.raises(JournalError) as error:
        action()
    return error.value.code


def change(path, statement, *values):
    """Change a journal behind its back."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


@pytest.mark.parametrize("name", ["exchange.journal", "new folder/日志.journal", "100%25 #1?.journal"])
def test_blocks_are_read_back_as_they_were_written(tmp_path, name):
    path = written(tmp_path / name)

    assert blocks_of(path) == BLOCKS
    with closing(SqliteJournal(path)) as journal:
        assert list(journal.blocks()) == BLOCKS


def test_a_journal_that_need_not_be_durable_holds_the_same(path):
    with closing(SqliteJournal(path, durable=False)) as journal:
        for block in BLOCKS:
            journal.append(block).result()
    assert blocks_of(path) == BLOCKS


def test_a_journal_in_memory_gives_back_what_it_got():
    journal = MemoryJournal()
    for block in BLOCKS:
        journal.append(block).result()
    assert list(journal.blocks()) == BLOCKS


def test_writing_goes_on_behind_what_was_read(path):
    written(path)
    with closing(SqliteJournal(path)) as journal:
        assert list(journal.blocks()) == BLOCKS
        journal.append(b"fifth").result()
        assert blocks_of(path) == [*BLOCKS, b"fifth"]  # readable while it is held

    assert blocks_of(path) == [*BLOCKS, b"fifth"]


def test_a_journal_left_by_a_killed_process_is_whole(path, tmp_path):
    left = tmp_path / "left" / path.name
    left.parent.mkdir()
    with closing(SqliteJournal(path)) as journal:
        for block in BLOCKS:
            journal.append(block).result()
        for file in path.parent.glob(f"{path.name}*"):
            shutil.copy(file, left.parent)

    with closing(SqliteJournal(left)) as journal:
        assert list(journal.blocks()) == BLOCKS


def test_a_new_journal_holds_nothing(path):
    with closing(SqliteJournal(path)) as journal:
        assert list(journal.blocks()) == []


def test_an_empty_file_becomes_a_journal(path):
    path.touch()
    assert blocks_of(written(path)) == BLOCKS


def test_each_block_is_on_disk_before_it_is_acknowledged(path):
    with closing(SqliteJournal(path)) as journal:

        def pragma(name):
            return journal._thread.submit(lambda: journal._connection.execute(f"PRAGMA {name}").fetchone()[0]).result()

        assert pragma("journal_mode") == "wal"
        assert pragma("synchronous") == 2  # FULL


def test_a_block_that_can_not_be_written_is_not_acknowledged(path):
    written(path)
    with closing(SqliteJournal(path)) as journal:
        # Its blocks were not read, so it would overwrite the first.
        assert code_of(lambda: journal.append(b"another first").result()) == "journal_unwritable"
    assert blocks_of(path) == BLOCKS


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(lambda folder: folder, id="a folder"),
        pytest.param(lambda folder: _file(folder / "file") / "exchange.journal", id="below a file"),
        pytest.param(lambda _: Path("/proc/self/exchange.journal"), id="where nobody writes"),
    ],
)
def test_a_place_that_can_not_be_written(tmp_path, place):
    assert code_of(lambda: SqliteJournal(place(tmp_path))) == "journal_unwritable"


def _file(path):
    path.touch()
    return path


# ---------------------------------------------------------------- damage


CHAINED = [(number, byte) for number in range(1, len(BLOCKS) + 1) for byte in range(32)]
PAYLOADS = [(number, byte) for number, block in enumerate(BLOCKS, 1) for byte in range(len(block))]


@pytest.mark.parametrize(
    ("column", "places"), [pytest.param("chain", CHAINED, id="chain"), pytest.param("payload", PAYLOADS, id="payload")]
)
def test_every_changed_byte_is_noticed(path, column, places):
    written(path)
    for number, byte in places:
        read = f"SELECT {column} FROM block WHERE number = ?"
        with closing(sqlite3.connect(path)) as connection:
            (good,) = connection.execute(read, (number,)).fetchone()
        bad = bytes(value ^ (byte == at) for at, value in enumerate(good))
        change(path, f"UPDATE block SET {column} = ? WHERE number = ?", bad, number)
        assert code_of(lambda: blocks_of(path)) == "journal_corrupt"
        change(path, f"UPDATE block SET {column} = ? WHERE number = ?", good, number)
    assert blocks_of(path) == BLOCKS


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param(["DELETE FROM block WHERE number = 1"], id="the first block is lost"),
        pytest.param(["DELETE FROM block WHERE number = 2"], id="a block is lost"),
        pytest.param(
            ["DELETE FROM block WHERE number = 2", "UPDATE block SET number = number - 1 WHERE number > 2"],
            id="a block is lost and the others moved up",
        ),
        pytest.param(
            [
                "UPDATE block SET number = -1 WHERE number = 1",
                "UPDATE block SET number = 1 WHERE number = 3",
                "UPDATE block SET number = 3 WHERE number = -1",
            ],
            id="two blocks are swapped",
        ),
        pytest.param(
            ["INSERT INTO block SELECT 5, chain, payload FROM block WHERE number = 4"], id="the last block is doubled"
        ),
        pytest.param(["UPDATE block SET number = 9 WHERE number = 4"], id="the last block bears another number"),
        pytest.param(["INSERT INTO block VALUES (0, x'00', x'00')"], id="a block before the first"),
        pytest.param(["UPDATE block SET payload = CAST(payload AS TEXT)"], id="text for bytes"),
        pytest.param(["DROP TABLE block"], id="all blocks are lost, and their table"),
        pytest.param(["ALTER TABLE block RENAME COLUMN chain TO link"], id="another table"),
    ],
)
def test_a_journal_that_is_not_what_was_written_is_noticed(path, statements):
    written(path)
    for statement in statements:
        change(path, statement)

    assert code_of(lambda: blocks_of(path)) == "journal_corrupt"
    with closing(SqliteJournal(path)) as journal:
        assert code_of(lambda: list(journal.blocks())) == "journal_corrupt"


def test_blocks_before_the_damage_are_read(path):
    written(path)
    change(path, "UPDATE block SET payload = x'00' WHERE number = 3")

    blocks = read_blocks(path)
    assert [next(blocks)[2], next(blocks)[2]] == BLOCKS[:2]
    assert code_of(lambda: next(blocks)) == "journal_corrupt"


def test_a_journal_cut_in_the_middle_is_noticed(path):
    written(path, [b"block" * 1000] * 4)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])

    assert code_of(lambda: blocks_of(path)) == "journal_corrupt"


# ---------------------------------------------------------------- what is no journal of ours


def garbage(path):
    path.write_bytes(b"This is not a journal. " * 100)


def foreign(path):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE people (name TEXT)")
        connection.execute("INSERT INTO people VALUES ('alice')")


def foreign_in_wal(path):
    foreign(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def foreign_with_our_table(path):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE block (number INTEGER PRIMARY KEY, chain BLOB, payload BLOB)")


def foreign_and_empty(path):
    change(path, "PRAGMA application_id = 7")


def of_another_version(path):
    change(written(path), f"PRAGMA user_version = {FORMAT_VERSION + 1}")


@pytest.mark.parametrize(
    ("make", "code"),
    [
        pytest.param(garbage, "journal_corrupt", id="no database"),
        pytest.param(foreign, "journal_foreign", id="somebody else's database"),
        pytest.param(foreign_in_wal, "journal_foreign", id="somebody else's database in WAL mode"),
        pytest.param(foreign_with_our_table, "journal_foreign", id="a table of the same name"),
        pytest.param(foreign_and_empty, "journal_foreign", id="somebody else's empty database"),
        pytest.param(of_another_version, "journal_version", id="another version"),
    ],
)
def test_what_is_no_journal_of_this_version_is_refused_and_left_as_it_is(path, make, code):
    make(path)
    before = path.read_bytes()

    assert code_of(lambda: blocks_of(path)) == code
    assert code_of(lambda: SqliteJournal(path)) == code
    assert path.read_bytes() == before


def test_a_refused_journal_is_not_held(path):
    foreign(path)
    code_of(lambda: SqliteJournal(path))
    path.unlink()

    assert blocks_of(written(path)) == BLOCKS


def test_a_missing_journal_is_not_made_by_reading(path):
    assert code_of(lambda: blocks_of(path)) == "journal_missing"
    assert not path.exists()


# ---------------------------------------------------------------- one writer


def test_a_second_writer_is_told_who_holds_the_journal(path):
    with closing(SqliteJournal(path)) as journal:
        journal.append(b"first").result()
        with pytest.raises(JournalError, match=f"is held by process {os.getpid()}$") as error:
            SqliteJournal(path)
        assert error.value.code == "journal_in_use"
        journal.append(b"second").result()

    with closing(SqliteJournal(path)) as journal:  # free again
        assert list(journal.blocks()) == [b"first", b"second"]

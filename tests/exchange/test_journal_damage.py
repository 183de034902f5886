"""Every bit and every cut of a small journal: what is read is what was written, or an error; never anything else."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from exchange.journal import FORMAT_VERSION, JournalError, SqliteJournal, read_blocks
from tests.conftest import THOROUGH
from tests.exchange.test_journal import change, code_of

SEALED = [b"first", b"", b"the third block" * 50]  # the third has pages of its own
LATER = [bytes([letter]) * 40 for letter in b"abcde"]
PAGE = 512  # bytes, the least that SQLite has


def open_small(folder):
    """A journal of small pages, open and new."""
    path = folder / "exchange.journal"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE}")
        connection.execute("VACUUM")
    return SqliteJournal(path)


def append_all(journal, blocks):
    for block in blocks:
        journal.append(block).result()


@pytest.fixture
def folder():
    """In memory where there is some: a disk would take minutes to lay down so many journals."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as made:
        yield Path(made)


@pytest.fixture
def closed(folder):
    """The bytes of a journal that was closed, by the end of the file's name."""
    (folder := folder / "closed").mkdir()
    with closing(open_small(folder)) as journal:
        append_all(journal, SEALED + LATER)
    return {"": (folder / "exchange.journal").read_bytes()}


@pytest.fixture
def left(folder):
    """Likewise of one whose process was killed: three blocks are sealed, five stand in the log only."""
    (folder := folder / "left").mkdir()
    with closing(open_small(folder)) as journal:
        append_all(journal, SEALED)
        journal.seal().result()
        append_all(journal, LATER)
        return {end: (folder / f"exchange.journal{end}").read_bytes() for end in ("", "-wal")}


@pytest.fixture
def put(folder):
    """Lays down a journal of given bytes; returns its path."""
    damaged = folder / "damaged"

    def lay_down(files):
        shutil.rmtree(damaged, ignore_errors=True)
        damaged.mkdir()
        for end, content in files.items():
            (damaged / f"exchange.journal{end}").write_bytes(content)
        return damaged / "exchange.journal"

    return lay_down


def flipped(files, end, every, at_most=1):
    """The files with one bit of one of them changed: one of so many; with CARBONEX_THOROUGH one of `at_most`."""
    for bit in range(0, 8 * len(files[end]), at_most if THOROUGH else every):
        content = bytearray(files[end])
        content[bit // 8] ^= 1 << bit % 8
        yield bit, files | {end: bytes(content)}


def read(path):
    """The blocks, or None for a JournalError."""
    try:
        return [block for _, _, block in read_blocks(path)]
    except JournalError:
        return None


def opened(path):
    """Likewise, opened for writing."""
    try:
        with closing(SqliteJournal(path)) as journal:
            return list(journal.blocks())
    except JournalError:
        return None


# Not a multiple of 8, so that each bit of a byte has its turn.
def test_a_bit_of_a_closed_journal(closed, put):
    whole = SEALED + LATER
    for bit, files in flipped(closed, "", every=17):
        assert read(put(files)) in (whole, None), f"bit {bit}"


def test_what_a_changed_bit_does_not_hurt_can_be_written_to(closed, put):
    whole = SEALED + LATER
    for bit, files in flipped(closed, "", every=101, at_most=7):
        path = put(files)
        if opened(path) is None:
            continue
        with closing(SqliteJournal(path)) as journal:
            assert list(journal.blocks()) == whole, f"bit {bit}"
            append_all(journal, LATER)
        assert read(path) == whole + LATER, f"bit {bit}"


def test_a_closed_journal_cut_anywhere(closed, put):
    content = closed[""]
    for length in range(1, len(content), 1 if THOROUGH else 3):
        assert read(put({"": content[:length]})) is None, f"cut to {length}"
    assert read(put(closed)) == SEALED + LATER


def test_a_closed_journal_cut_anywhere_is_not_written_to(closed, put):
    content = closed[""]
    for length in range(1, len(content), 1 if THOROUGH else 13):
        path = put({"": content[:length]})
        assert opened(path) is None, f"cut to {length}"
        assert path.read_bytes() == content[:length]


def test_a_bit_of_a_file_whose_log_is_there(left, put):
    whole = SEALED + LATER
    for bit, files in flipped(left, "", every=17):
        assert read(put(files)) in (whole, None), f"bit {bit}"


def test_a_bit_of_the_log(left, put):
    whole = SEALED + LATER
    for bit, files in flipped(left, "-wal", every=31):
        blocks = read(put(files))
        assert blocks is None or (blocks == whole[: len(blocks)] and len(blocks) >= len(SEALED)), f"bit {bit}"


def test_a_bit_of_the_log_loses_at_most_its_last_two_blocks_unnoticed(left, put):
    whole = SEALED + LATER
    noticed = 0
    for bit, files in flipped(left, "-wal", every=101):
        blocks = opened(put(files))
        noticed += blocks is None
        assert blocks is None or (blocks == whole[: len(blocks)] and len(blocks) >= len(whole) - 2), f"bit {bit}"
    assert noticed > 8 * len(left["-wal"]) / (1 if THOROUGH else 101) / 2


def test_a_log_cut_anywhere(left, put):
    whole, log = SEALED + LATER, left["-wal"]
    lengths = [len(SEALED)]
    for length in range(0, len(log) + 1, 1 if THOROUGH else 4):
        blocks = read(put(left | {"-wal": log[:length]}))
        assert blocks == whole[: len(blocks)], f"cut to {length}"
        lengths.append(len(blocks))
    assert lengths == sorted(lengths) and set(lengths) == set(range(len(SEALED), len(whole) + 1))


def test_a_log_cut_anywhere_is_written_on_behind_its_last_whole_block(left, put):
    log = left["-wal"]
    for length in range(0, len(log) + 1, 1 if THOROUGH else 53):
        path = put(left | {"-wal": log[:length]})
        with closing(SqliteJournal(path)) as journal:
            before = list(journal.blocks())
            append_all(journal, [b"more"])
        assert read(path) == [*before, b"more"], f"cut to {length}"


def test_a_block_torn_by_a_crash_is_no_damage_however_often(left, put):
    """Two crashes, each within a write of several pages of which the last came to the disk alone, the second nearer."""
    path = put(left)
    frame = 24 + PAGE
    for times in (400, 80):
        with closing(SqliteJournal(path)) as journal:
            before = list(journal.blocks())
            append_all(journal, [b"short"])
            shorter = path.with_name(path.name + "-wal").read_bytes()
            append_all(journal, [b"of many pages" * times])
            files = {end: path.with_name(path.name + end).read_bytes() for end in ("", "-wal")}
        log = files["-wal"]
        shorter = shorter.ljust(len(log), b"\0")
        last = max(place for place in range(len(log)) if log[place] != shorter[place])
        written = 32 + -(-(last + 1 - 32) // frame) * frame  # the log's header, and whole frames
        torn = log[: written - 2 * frame] + bytes(frame) + log[written - frame :]
        path = put(files | {"-wal": torn})
        assert read(path) == [*before, b"short"]
        with closing(SqliteJournal(path)) as journal:
            assert list(journal.blocks()) == [*before, b"short"]
            append_all(journal, [b"after"])
            files = {end: path.with_name(path.name + end).read_bytes() for end in ("", "-wal")}
        path = put(files)


# ---------------------------------------------------------------- seals


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        pytest.param("DELETE FROM block WHERE number = 8", "sealed up to block 8, and there are 7", id="lost end"),
        pytest.param("DELETE FROM block", "sealed up to block 8, and there are 0", id="lost blocks"),
        pytest.param("UPDATE seal SET chain = x'00' WHERE number = 8", "block 8 is not", id="another journal's seal"),
    ],
)
def test_what_contradicts_a_seal_is_noticed(closed, put, statement, said):
    path = put(closed)
    change(path, statement)
    with pytest.raises(JournalError, match=said) as error:
        list(read_blocks(path))
    assert error.value.code == "journal_corrupt"
    assert opened(path) is None


def test_a_lost_end_behind_the_last_seal_is_an_earlier_journal(left, put):
    path = put({"": left[""]})
    assert read(path) == opened(path) == SEALED


def test_a_seal_that_was_lost_costs_nothing(closed, put):
    path = put(closed)
    change(path, "DELETE FROM seal")
    assert read(path) == SEALED + LATER


def test_a_journal_that_was_not_read_is_not_sealed(closed, put):
    path = put(closed)
    SqliteJournal(path).close()
    with closing(SqliteJournal(path)) as journal:
        next(journal.blocks())
    assert read(path) == SEALED + LATER


def test_a_journal_without_seals_is_read_and_gets_them_when_it_is_written_to(closed, put):
    path = put(closed)
    change(path, "DROP TABLE seal")
    change(path, "PRAGMA user_version = 2")
    before = path.read_bytes()

    assert read(path) == SEALED + LATER
    assert path.read_bytes() == before
    with closing(SqliteJournal(path)) as journal:
        assert list(journal.blocks()) == SEALED + LATER
        append_all(journal, [b"new"])
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT number FROM seal").fetchall() == [(9,)]
        assert connection.execute("PRAGMA user_version").fetchone() == (FORMAT_VERSION,)
    assert read(path) == [*SEALED, *LATER, b"new"]


def test_a_journal_of_this_version_has_seals(closed, put):
    path = put(closed)
    change(path, "DROP TABLE seal")
    assert code_of(lambda: list(read_blocks(path))) == "journal_corrupt"

"""What was sent again is known whatever dies, and takes little room."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import IngestError
from ingest.journal import (
    Identity,
    Replays,
    ReplayState,
    dead_letters,
    open_replays,
    read_replays,
)
from ingest.journal.ranges import Ranges
from ingest.pipeline import contracts

NUMBERS = st.integers(0, 30)


@given(st.lists(st.tuples(st.booleans(), NUMBERS, NUMBERS)))
def test_ranges_are_a_set(changes: list[tuple[bool, int, int]]) -> None:
    """It holds the same numbers as a set does, in as few ranges as can be."""
    ranges, numbers = Ranges(), set[int]()
    for adds, start, end in changes:
        if adds:
            ranges.add(start, end)
            numbers |= set(range(start, end))
        else:
            ranges.discard(start, end)
            numbers -= set(range(start, end))
    assert {number for start, end in ranges for number in range(start, end)} == numbers
    assert {number for number in range(31) if number in ranges} == numbers
    bounds = [bound for both in ranges for bound in both]
    assert bounds == sorted(set(bounds)), "neighbours are one range"
    assert bool(ranges) == bool(numbers)


def identities(*sequences: int, shard: int = 0) -> list[Identity]:
    """Return what letters of a shard are called."""
    return [Identity(shard, sequence) for sequence in sequences]


def states(directory: Path, *sequences: int, shard: int = 0) -> list[str]:
    """Return what the file says of letters of a shard."""
    replays = read_replays(directory)
    return [replays.state(at).value for at in identities(*sequences, shard=shard)]


def segment(directory: Path, shard: int, first: int) -> Path:
    """Return the path of a segment."""
    return directory / f"shard-{shard:04}" / f"{first:020}.ndjson.zst"


@pytest.fixture
def noted(tmp_path: Path) -> Path:
    """Return a directory in which some letters were sent, and the end of others is not known."""
    for shard in (0, 3):
        (tmp_path / f"shard-{shard:04}").mkdir()
        segment(tmp_path, shard, 0).touch()
    with open_replays(tmp_path) as log:
        log.note(ReplayState.SENDING, identities(*range(10)))
        log.note(ReplayState.TAKEN, identities(*range(8)))
        log.note(ReplayState.NEW, identities(9))
        log.note(ReplayState.SENDING, identities(7, shard=3))
    return tmp_path


def test_what_was_noted_is_known_afterwards(noted: Path) -> None:
    assert states(noted, 7, 8, 9, 10) == ["taken", "sending", "new", "new"]
    assert states(noted, 7, 8, shard=3) == ["sending", "new"]


def test_a_line_that_a_crash_cut_off_was_never_begun(noted: Path) -> None:
    """Wherever it was cut; and the next replay writes behind what is whole."""
    file = noted / "replayed.ndjson"
    whole = file.read_bytes()
    line = Replays().note(ReplayState.SENDING, identities(50))
    for length in range(len(line)):
        file.write_bytes(whole + line[:length])
        assert states(noted, 7, 8, 9, 50) == ["taken", "sending", "new", "new"]
        with open_replays(noted) as log:
            log.note(ReplayState.TAKEN, identities(60))
        assert states(noted, 7, 50, 60) == ["taken", "new", "taken"]
    file.write_bytes(whole + line)
    assert states(noted, 50) == ["sending"]


def test_it_is_no_longer_than_what_it_says(noted: Path) -> None:
    """A replay begins with what is known in two lines, without letters that are gone."""
    with open_replays(noted) as log:
        for sequence in range(10, 90):
            log.note(ReplayState.SENDING, identities(sequence))
            log.note(ReplayState.TAKEN, identities(sequence))
    for shard in (0, 3):
        segment(noted, shard, 0).unlink()
    segment(noted, 0, 20).touch()
    with open_replays(noted):
        pass
    content = (noted / "replayed.ndjson").read_text()
    assert content == '{"state":"taken","letters":{"0":[[20,90]]}}\n'


def test_damage_is_not_taken_for_an_answer(noted: Path) -> None:
    """A line that is whole and makes no sense could hide letters that were sent."""
    file = noted / "replayed.ndjson"
    file.write_bytes(b"nonsense\n" + file.read_bytes())
    with pytest.raises(IngestError, match="is damaged"):
        read_replays(noted)


def test_what_is_masked_is_known_by_what_redactors_write() -> None:
    """The journal imports no pipeline, so each has its own."""
    assert dead_letters._MASK == contracts.MASK

"""The replacement of a worker, told without processes and without a clock."""

from __future__ import annotations

from math import inf

import pytest

from ingest.contract import WorkerState
from ingest.supervisor.replacement import Phase, Replacement
from ingest.supervisor.slot import Slot, SlotPolicy

POLICY = SlotPolicy(
    start_timeout=30.0,
    heartbeat_timeout=10.0,
    backoff_initial=0.1,
    backoff_maximum=20.0,
    breaker_failures=5,
    breaker_window=60.0,
)


def replacement(*, has_worker: bool = True) -> Replacement:
    """Return one that begins at 100 s; successors have 30 s to stand by, workers 20 s to end."""
    return Replacement(100.0, start_timeout=30.0, drain_timeout=20.0, has_worker=has_worker)


def test_a_worker_is_told_to_end_only_when_its_successor_stands_by() -> None:
    """And the successor goes on only when the worker is gone."""
    state = replacement()
    seen = [state.phase]
    state.stands_by(101.0)
    seen.append(state.phase)
    state.worker_ended(102.0)
    seen.append(state.phase)
    assert not state.is_over
    state.became_ready(103.0)
    seen.append(state.phase)
    assert seen == [Phase.PREPARING, Phase.HANDING_OVER, Phase.TAKING_OVER, Phase.DONE]
    assert state.is_over


def test_standing_by_is_noticed_once() -> None:
    """Who looks again and again changes nothing, not even a deadline."""
    state = replacement()
    state.stands_by(101.0)
    deadline = state.next_decision()
    state.stands_by(110.0)
    assert (state.phase, state.next_decision()) == (Phase.HANDING_OVER, deadline)


@pytest.mark.parametrize("gone", ["before", "meanwhile"])
def test_without_a_worker_a_successor_goes_on_at_once(gone: str) -> None:
    """Whether there was none, or it ended while the successor was prepared."""
    state = replacement(has_worker=gone == "meanwhile")
    if gone == "meanwhile":
        state.worker_ended(100.5)
        assert state.phase is Phase.PREPARING
    state.stands_by(101.0)
    assert state.phase is Phase.TAKING_OVER


def test_a_successor_that_ends_early_changes_nothing_for_the_worker() -> None:
    """Nobody has told it anything yet."""
    state = replacement()
    state.successor_ended(101.0)
    assert state.phase is Phase.FAILED
    state.stands_by(102.0)
    assert state.phase is Phase.FAILED


def test_a_worker_that_was_told_to_end_is_waited_for_without_a_successor() -> None:
    """It has its deadline all the same; only then is the slot free for another one."""
    state = replacement()
    state.stands_by(101.0)
    state.successor_ended(102.0)
    assert not state.is_over
    assert state.overdue(121.0) == "not handed over within 20 s"
    state.worker_ended(122.0)
    assert state.phase is Phase.FAILED


def test_a_successor_that_dies_when_it_took_over_has_failed() -> None:
    """What follows is the business of the slot."""
    state = replacement()
    state.stands_by(101.0)
    state.worker_ended(102.0)
    state.successor_ended(103.0)
    assert state.phase is Phase.FAILED


def test_each_has_its_own_deadline() -> None:
    """The successor to stand by, the worker to end; a successor that starts is the slot's."""
    state = replacement()
    assert state.overdue(129.9) is None
    assert state.overdue(130.0) == "the successor does not stand by within 30 s"
    state.stands_by(130.0)
    assert state.overdue(149.9) is None
    assert state.overdue(150.0) == "not handed over within 20 s"
    state.worker_ended(150.0)
    assert state.next_decision() == inf
    assert state.overdue(1000.0) is None


def test_nobody_is_overdue_because_the_machine_stood_still() -> None:
    """The whole time begins again."""
    state = replacement()
    state.excuse(200.0)
    assert state.overdue(229.9) is None
    assert state.next_decision() == 230.0


def test_a_held_slot_waits_for_its_successor() -> None:
    """Whatever becomes of the worker meanwhile, no other process is due, and nothing wakes."""
    slot = Slot(POLICY)
    slot.started(0.0)
    slot.became_ready(1.0)
    slot.hold()
    slot.exited(100.0)
    assert (slot.due(inf), slot.next_decision(0.0)) == (False, inf)
    slot.release(101.0)
    assert slot.due(101.0)


def test_a_slot_is_due_at_once_where_a_worker_was_told_to_hand_over() -> None:
    """That its successor fails is no fault of the worker: there is no pause, and no count."""
    slot = Slot(POLICY)
    slot.started(0.0)
    slot.became_ready(1.0)
    slot.hold()
    slot.drain(1.5)
    slot.exited(1.6)
    assert not slot.due(1000.0)
    slot.release(2.0)
    assert slot.due(2.0)
    slot.started(2.0)
    assert slot.state is WorkerState.STARTING
    assert slot.exited(2.1) == 0.0, "the first failure"

"""The life of a slot, told without processes and without a clock."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.contract import WorkerState
from ingest.supervisor.slot import STEADY_SECONDS, Slot, SlotPolicy

POLICY = SlotPolicy(
    start_timeout=30.0,
    heartbeat_timeout=10.0,
    backoff_initial=0.1,
    backoff_maximum=20.0,
    breaker_failures=5,
    breaker_window=60.0,
)


def ready_slot(now: float = 100.0) -> Slot:
    """Return a slot whose first process became ready at `now`."""
    slot = Slot(POLICY)
    slot.started(now - 1)
    slot.became_ready(now)
    return slot


def fail(slot: Slot, now: float, *, ready: bool) -> float:
    """Let one process start and die at `now`; return how long the slot then waits."""
    slot.started(now)
    if ready:
        slot.became_ready(now)
    return slot.exited(now)


def test_a_new_slot_is_due_at_once() -> None:
    """The first process waits for nothing."""
    assert Slot(POLICY).due(0.0)


def test_a_process_goes_through_all_states() -> None:
    """GONE, STARTING, READY, DRAINING, GONE; every process is a generation."""
    slot = Slot(POLICY)
    seen = [slot.state]
    slot.started(1.0)
    seen.append(slot.state)
    slot.became_ready(2.0)
    seen.append(slot.state)
    slot.drain(3.0)
    seen.append(slot.state)
    slot.exited(4.0)
    seen.append(slot.state)
    assert seen == [
        WorkerState.GONE,
        WorkerState.STARTING,
        WorkerState.READY,
        WorkerState.DRAINING,
        WorkerState.GONE,
    ]
    assert slot.generation == 1


def test_the_first_replacement_is_due_at_once() -> None:
    """One death must not cost anybody a connection."""
    slot = ready_slot()
    assert slot.exited(200.0) == 0.0
    assert slot.due(200.0)


def test_the_wait_doubles_until_the_breaker_opens() -> None:
    """0, initial, 2 x initial, 4 x initial, then the maximum."""
    slot = Slot(POLICY)
    waits = [fail(slot, float(at), ready=True) for at in range(6)]
    assert waits == pytest.approx([0.0, 0.1, 0.2, 0.4, 20.0, 20.0])
    assert slot.breaker_open


def test_steady_work_is_no_failure() -> None:
    """However often someone kills a worker that does its work, it is replaced at once."""
    slot = Slot(POLICY)
    for at in range(0, 20, 2):
        slot.started(float(at))
        slot.became_ready(float(at))
        assert slot.exited(at + STEADY_SECONDS) == 0.0
    assert not slot.breaker_open


def test_failures_are_forgotten_after_the_window() -> None:
    """A worker that fails once an hour is replaced at once every time."""
    slot = Slot(POLICY)
    assert [fail(slot, at * 61.0, ready=True) for at in range(10)] == [0.0] * 10
    assert not slot.breaker_open


def test_an_open_breaker_allows_one_attempt_per_maximum_wait() -> None:
    """Half-open means one attempt; where it never becomes ready, the breaker stays open."""
    slot = Slot(POLICY)
    for at in range(5):
        fail(slot, float(at), ready=False)
    assert not slot.due(4.0 + 19.9)
    assert slot.due(4.0 + 20.0)
    assert fail(slot, 1000.0, ready=False) == 20.0, "old failures do not make it forget"
    assert slot.breaker_open


def test_an_attempt_that_becomes_ready_closes_the_breaker() -> None:
    """After a long calm the slot is as good as new."""
    slot = Slot(POLICY)
    for at in range(5):
        fail(slot, float(at), ready=False)
    slot.started(30.0)
    assert slot.breaker_open
    slot.became_ready(31.0)
    assert not slot.breaker_open
    assert slot.exited(500.0) == 0.0


@pytest.mark.parametrize(
    ("state", "now", "heartbeat", "overdue"),
    [
        ("starting", 29.9, 0.0, None),
        ("starting", 30.0, 29.0, "not ready within 30 s"),
        ("ready", 9.9, 0.0, None),
        ("ready", 10.0, 0.0, "no heartbeat for 10 s"),
        ("ready", 1000.0, 995.0, None),
        ("ready", 1000.0, 990.0, "no heartbeat for 10 s"),
        ("draining", 1000.0, 0.0, None),
        ("gone", 1000.0, 0.0, None),
    ],
)
def test_overdue(state: str, now: float, heartbeat: float, overdue: str | None) -> None:
    """A process is overdue that does not become ready, or that was ready and shows no life."""
    slot = Slot(POLICY)
    slot.started(0.0)
    if state != "starting":
        slot.became_ready(0.0)
    if state == "draining":
        slot.drain(0.0)
    if state == "gone":
        slot.exited(0.0)
    assert slot.overdue(now, heartbeat) == overdue


def test_becoming_ready_counts_as_a_sign_of_life() -> None:
    """A heartbeat from before the start does not kill a fresh worker."""
    slot = ready_slot(now=100.0)
    assert slot.overdue(105.0, heartbeat=0.0) is None


@pytest.mark.parametrize("ready", [False, True])
def test_an_excused_process_has_its_whole_time_again(ready: bool) -> None:
    """After the machine stood still, nobody is killed for the time that nobody had."""
    slot = Slot(POLICY)
    slot.started(0.0)
    if ready:
        slot.became_ready(0.0)
    slot.excuse(1000.0)
    assert slot.overdue(1005.0, heartbeat=0.0) is None
    assert slot.overdue(1030.0, heartbeat=0.0) is not None


@pytest.mark.parametrize("state", ["gone", "starting", "ready"])
def test_nothing_follows_a_drain(state: str) -> None:
    """Whatever a slot was doing, after a drain it starts no process."""
    slot = Slot(POLICY)
    if state != "gone":
        slot.started(0.0)
    if state == "ready":
        slot.became_ready(0.0)
    slot.drain(1.0)
    if state != "gone":
        assert slot.state is WorkerState.DRAINING
        slot.exited(2.0)
    assert slot.state is WorkerState.GONE
    assert not slot.due(1e9)
    assert slot.next_decision(0.0) == inf


FAILURES = st.lists(
    st.tuples(st.floats(min_value=0.0, max_value=STEADY_SECONDS - 0.001), st.booleans()),
    min_size=1,
    max_size=50,
)


@given(failures=FAILURES)
def test_no_series_of_failures_becomes_a_respawn_loop(failures: list[tuple[float, bool]]) -> None:
    """However a worker fails, no window sees more starts than the breaker and the waits allow."""
    slot = Slot(POLICY)
    now = 0.0
    starts: list[float] = []
    for lifetime, ready in failures:
        now = max(now, slot.next_decision(0.0))
        assert slot.due(now)
        starts.append(now)
        slot.started(now)
        if ready:
            slot.became_ready(now)
        now += lifetime
        wait = slot.exited(now)
        assert 0.0 <= wait <= POLICY.backoff_maximum + 1e-6
    bound = POLICY.breaker_failures + POLICY.breaker_window / POLICY.backoff_maximum + 1
    for first in starts:
        within = [start for start in starts if first <= start < first + POLICY.breaker_window]
        assert len(within) <= bound


@given(failures=FAILURES, heartbeat=st.floats(min_value=0.0, max_value=1e4))
def test_there_is_nothing_to_do_before_the_next_decision(
    failures: list[tuple[float, bool]], heartbeat: float
) -> None:
    """The loop may sleep until `next_decision`: nothing becomes due or overdue before it."""
    slot = Slot(POLICY)
    now = 0.0
    for lifetime, ready in failures:
        now = max(now, slot.next_decision(0.0))
        slot.started(now)
        if ready:
            slot.became_ready(now)
        decision = slot.next_decision(heartbeat)
        assert slot.overdue(decision, heartbeat)
        assert slot.overdue(decision - 0.001, heartbeat) is None
        now += lifetime
        slot.exited(now)
        assert not slot.due(slot.next_decision(heartbeat) - 0.001)
        assert slot.due(slot.next_decision(heartbeat))

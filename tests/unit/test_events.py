"""The canonical event and the samples made of it."""

from __future__ import annotations

import msgspec

from ingest.events import Event, Samples


def test_samples_are_events_of_the_usual_size() -> None:
    """About 320 bytes, with the fields that pipelines act on."""
    lines = Samples(1).lines(0, 2000)
    events = [msgspec.json.decode(line, type=Event) for line in lines]
    assert 290 <= sum(map(len, lines)) / len(lines) <= 350
    assert {"request_id", "trace_id"} <= set(events[0].context)
    assert {"ip", "path", "status", "duration_ms", "password"} <= set(events[0].data)
    assert events[0].timestamp.startswith("20")


def test_every_sample_has_a_request_id_of_its_own() -> None:
    """So a test can tell a lost event from a doubled one."""
    samples = Samples(1)
    lines = samples.lines(0, 1500) + samples.lines(1500, 1500)
    identities = {msgspec.json.decode(line, type=Event).context["request_id"] for line in lines}
    assert len(identities) == 3000


def test_a_sample_is_one_line() -> None:
    """A newline inside would make it two."""
    assert not any(b"\n" in line for line in Samples(2).lines(0, 600))

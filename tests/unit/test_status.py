"""What `ingest status` says of the stages of a pipeline."""

from __future__ import annotations

from ingest import contract
from ingest._native import Region
from ingest.cli.status import render_status
from ingest.contract import ListenerDescription, ServerDescription
from ingest.counters import read_status


def region(*stages: str) -> Region:
    """Return the region of a server with two workers and such a pipeline."""
    description = ServerDescription(
        version="1",
        data_dir="/data",
        workers=2,
        listeners=(ListenerDescription(name="in", kind="tcp", address="127.0.0.1:1", bound=True),),
        admin=None,
        heartbeat_timeout_seconds=10.0,
        last_reload=None,
        previous_server=None,
    )
    return Region.create(2, ["in"], list(stages), contract.encode(description))


def page(of: Region) -> str:
    """Return the page for people."""
    status = read_status(of)
    return render_status(status, status, 1.0)


def test_every_stage_has_a_line_and_plugins_say_more() -> None:
    """Counts are those of all workers, time is that of one event."""
    found = region("level", "geo", "token")
    for worker in (0, 1):
        for name, count in (
            ("events_total", 1_000),
            ("seconds_total", 25_000_000),
            ("errors_total", 2),
            ("timeouts_total", 1),
        ):
            found.add(worker, f"ingest_stage_{name}", count, stage=1)
        found.add(worker, "ingest_stage_filtered_total", 5, stage=0)
    found.add(0, "ingest_stage_changed_total", 7, stage=2)
    found.add(0, "ingest_stage_skipped_total", 30, stage=2)
    found.set(0, "ingest_stage_breaker_open", 1, stage=2)
    table = page(found).split("\n\n")[3]
    assert table.splitlines() == [
        "STAGE  FILTERED  CHANGED  EVENTS  µs/EVENT  ERRORS  TIMEOUTS  SKIPPED  BREAKER",
        "level        10        0       -         -       -         -        -  -",
        "geo           0        0   2,000        25       4         2        0  closed",
        "token         0        7       0         -       0         0       30  open in 1",
    ]


def test_without_stages_there_is_no_table() -> None:
    """Nothing but workers, listeners and the sum."""
    assert "STAGE" not in page(region())

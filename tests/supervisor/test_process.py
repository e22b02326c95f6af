"""Child processes and signals: the parts of the supervisor that speak to the kernel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ingest.children import describe_exit
from ingest.errors import ExitStatus
from ingest.supervisor.signals import SignalQueue
from tests.harness import Server, wait_until
from tests.stored import events

UNWANTED = {"fapilog", "multiprocessing", "pydantic", "starlette", "typer", "uvicorn", "uvloop"}

BECOME_SUBREAPER_WITH_AN_ORPHAN = """
    import ctypes, os, signal, sys
    PR_SET_CHILD_SUBREAPER = 36
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    if os.fork() == 0:
        orphan = os.fork()
        if orphan == 0:
            signal.pause()
        with open(sys.argv[1], "w") as file:
            file.write(f"{orphan}\\n")
        os._exit(0)
    os.execv(sys.executable, [sys.executable, "-m", *sys.argv[2:]])
"""


def test_what_a_worker_is_told_is_not_among_its_arguments(tmp_path: Path) -> None:
    """Every user of the machine can read arguments, and a pipeline of any length has to fit."""
    names = [f"data.field{number:06}" for number in range(20_000)]
    file = tmp_path / "long.toml"
    file.write_text(f"[pipeline.config.field_mask]\nfields_to_mask = {names}\n")
    arguments = ("--config", str(file), "--tcp", "127.0.0.1:0")
    short = '{"enrichers":[],"redactors":["field_mask"]}'
    with Server(tmp_path / "data", workers=1, pipeline=short, arguments=arguments) as server:
        told = Path(f"/proc/{server.worker_pid(0)}/cmdline").read_bytes()
        assert names[0].encode() not in told
        server.deliver(b'{"data":{"field019999":"secret"}}\n', 1)
        server.stop()
    assert events(tmp_path / "data") == [b'{"data":{"field019999":"***"}}']


def test_orphans_are_reaped_like_by_the_first_process_of_a_container(tmp_path: Path) -> None:
    """A process that was never ours ends as our child: it is reaped and nothing is said."""
    note = tmp_path / "orphan"
    script = textwrap.dedent(BECOME_SUBREAPER_WITH_AN_ORPHAN)
    wrapper = [sys.executable, "-c", script, str(note)]
    with Server(tmp_path / "data", wrapper=wrapper) as server:
        wait_until(lambda: note.exists() and note.read_text().endswith("\n"))
        orphan = int(note.read_text())
        parent = Path(f"/proc/{orphan}/stat").read_text().rpartition(")")[2].split()[1]
        assert int(parent) == server.pid
        os.kill(orphan, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{orphan}").exists())
        assert str(orphan) not in server.log()
        assert server.stop() == ExitStatus.CLEAN


def test_the_supervisor_loads_no_event_loop_and_no_framework() -> None:
    """It outlives everything else, so it stays small."""
    script = "import sys, ingest.supervisor; print(*{m.partition('.')[0] for m in sys.modules})"
    # Coverage of child processes would load things of its own.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
    loaded = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    ).stdout.split()
    assert not UNWANTED & set(loaded)


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "exit status 0"), (3, "exit status 3"), (-9, "SIGKILL"), (-40, "signal 40")],
)
def test_how_a_process_ended(code: int, words: str) -> None:
    """Signals are called by their names."""
    assert describe_exit(code) == words


def test_signals_wait_in_a_queue_in_their_order() -> None:
    """Nothing happens in a handler; the loop finds the signals when it looks."""
    with SignalQueue(signal.SIGUSR1, signal.SIGUSR2) as signals:
        os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert signals.wait(5.0) == [signal.SIGUSR2, signal.SIGUSR1]
        assert signals.wait(0.0) == []
    os.kill(os.getpid(), signal.SIGUSR1)  # one more does not kill what is putting things away
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        assert signal.signal(number, signal.SIG_DFL) is signal.SIG_IGN

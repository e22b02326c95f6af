"""Samples the workers of a real server under load, with a library that has its symbols."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT

import ingest
from bench import processes, runs
from bench.profile import breakdown, inlining, samples
from bench.profile.breakdown import Profile
from bench.profile.samples import Sample
from bench.runs import Load, Plan
from bench.server import FailedRunError

_PACKAGE = Path(ingest.__file__).parent
_REPOSITORY = Path(__file__).parents[2]
_MANIFEST = _REPOSITORY / "native" / "Cargo.toml"
_NATIVE = "_native"
# No multiple of a timer of the kernel or of ours, which it would meet again and again.
_SAMPLES_PER_SECOND = 1999
# Of the stack, to find out who called. Deeper ones lose their outermost functions only.
_STACK_BYTES = 8192
_PROGRAMS = {
    "perf": "Debian has it in the package linux-perf, Ubuntu in linux-tools",
    "addr2line": "it is in the package binutils",
}


def check_programs() -> None:
    """Raise FailedRunError where a program is missing or may not sample."""
    for program, where in _PROGRAMS.items():
        if shutil.which(program) is None:
            raise FailedRunError(f"the program {program} is missing; {where}")


def profile(plan: Plan, case: str, load: Load) -> tuple[Profile, list[Sample]]:
    """Run once and return the cost of each phase, and all samples."""
    native = _library()
    with (
        _package_with(native) as directory,
        tempfile.NamedTemporaryFile(dir=plan.data_dir, prefix="bench-") as recorded,
        runs.warm_server(plan, load, environment=_environment(directory)) as server,
    ):
        workers = [pid for pid in server.pids if processes.role(pid) == "worker"]
        before = processes.cpu_seconds(workers)
        with _sampling(workers, Path(recorded.name)):
            sent = runs.send(server, load, load.events)
            settled_ns, _ = runs.await_settled(server, load, sent)
            cpu_seconds = runs.cpu_at_rest(workers) - before
        runs.check_ledger(server, load, load.events)
        found = inlining.expand(_read(Path(recorded.name)), native)
    cost = cpu_seconds / (load.events / 1e6)
    return (
        Profile(
            case=case,
            connections=load.connections,
            workers=len(workers),
            events=load.events,
            events_per_second=load.events * 1e9 / (settled_ns - sent.started_ns),
            cpu_seconds_per_million=cost,
            samples=len(found),
            sampled_share=len(found) / _SAMPLES_PER_SECOND / cpu_seconds,
            phases=breakdown.phases(found, cost),
        ),
        found,
    )


def _library() -> Path:
    """Return where `make profile` has cargo leave the library that has symbols."""
    command = ["cargo", "metadata", "--format-version=1", "--no-deps"]
    command.append(f"--manifest-path={_MANIFEST}")
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    target = Path(json.loads(output)["target_directory"])
    library = target / "profiling" / f"lib{_NATIVE}.so"
    if not library.exists():
        raise FailedRunError(f"there is no {library}; make profile builds it")
    return library.resolve()


@contextmanager
def _package_with(native: Path) -> Iterator[Path]:
    """Give a directory with a copy of the package that has another native module in it."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        package = Path(directory) / _PACKAGE.name
        shutil.copytree(_PACKAGE, package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        (package / f"{_NATIVE}{suffix}").symlink_to(native)
        yield Path(directory)


def _environment(package: Path) -> dict[str, str]:
    """Return what makes a server run the package in a directory."""
    path = os.pathsep.join((str(package), str(_REPOSITORY)))
    # Safe: or the package in the current directory would come first.
    return {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


@contextmanager
def _sampling(pids: Sequence[int], file: Path) -> Iterator[None]:
    """Sample the processes, from when the block is entered until it is left."""
    command_read, command_write = os.pipe()
    answer_read, answer_write = os.pipe()
    command = ["perf", "record", "--quiet", "--event=cpu-clock", f"--freq={_SAMPLES_PER_SECOND}"]
    command += [f"--call-graph=dwarf,{_STACK_BYTES}", f"--pid={','.join(map(str, pids))}"]
    command += [f"--output={file}", "--delay=-1", f"--control=fd:{command_read},{answer_write}"]
    with subprocess.Popen(command, pass_fds=(command_read, answer_write)) as perf:
        os.close(command_read)
        os.close(answer_write)
        try:
            if not _enable(command_write, answer_read):
                raise FailedRunError(
                    "perf may not sample; see /proc/sys/kernel/perf_event_paranoid"
                )
            yield
        finally:
            perf.send_signal(SIGINT)
            perf.wait()
            os.close(command_write)
            os.close(answer_read)


def _enable(command: int, answer: int) -> bool:
    """Tell perf to begin; return whether it did, or else has ended."""
    try:
        os.write(command, b"enable\n")
    except BrokenPipeError:
        return False
    return bool(os.read(answer, 16))


def _read(file: Path) -> list[Sample]:
    command = ["perf", "script", f"--input={file}", "--no-inline", "--fields=comm,tid,ip,sym,dso"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return list(samples.parse(output.splitlines()))

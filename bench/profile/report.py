"""Writes profiles: all figures as JSON, a page for people, and the stacks for flame graphs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from bench.machine import Machine
from bench.profile import breakdown
from bench.profile.breakdown import Profile
from bench.profile.samples import Sample

FILE = "profile.json"
_PAGE = "profile.md"

_HEAD = """\
# CPU by phase

{profiles.started_at}, commit `{machine.commit}`, `{profiles.command}`.

Machine: {machine.cpu}, {machine.cores} cores, {machine.memory_gib} GiB, Linux {machine.kernel}.

The phases, and how they are told apart, are explained in `docs/performance.md`. The CPU time is
that of the workers as the kernel accounts for it; the samples say what it was spent on.
"""

_SECTION = """
## `{profile.case}`

{profile.events:,} events over {profile.connections} connections to {profile.workers} workers,
{profile.events_per_second:,.0f} events/s. {profile.samples:,} samples, which stand for
{profile.sampled_share:.0%} of the CPU time.

{table}
"""


class Profiles(msgspec.Struct, frozen=True):
    """Everything about one run of `make profile`."""

    started_at: str
    command: str
    machine: Machine
    profiles: list[Profile]


def write(profiles: Profiles, directory: Path) -> None:
    """Write the figures and the page into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(profiles), indent=2)
    (directory / FILE).write_bytes(text + b"\n")
    (directory / _PAGE).write_text(page(profiles))


def write_stacks(samples: Iterable[Sample], directory: Path, case: str) -> None:
    """Write the stacks of one case into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{case}.folded").write_text(breakdown.folded(samples))


def read(directory: Path) -> Profiles | None:
    """Return what was written into `directory`, if anything was."""
    file = directory / FILE
    return msgspec.json.decode(file.read_bytes(), type=Profiles) if file.exists() else None


def page(profiles: Profiles) -> str:
    """Return the page for people."""
    sections = (
        _SECTION.format(profile=profile, table=breakdown.table(profile))
        for profile in profiles.profiles
    )
    return _HEAD.format(profiles=profiles, machine=profiles.machine) + "".join(sections)

"""Sums samples into the cost of each phase, and writes it for people and for flame graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from bench.figures import markdown
from bench.profile.phases import PHASES, THREADS, is_copy, phase_of, thread_of
from bench.profile.samples import Sample

_Counts = Counter[tuple[str, str, bool]]


class Phase(msgspec.Struct, frozen=True):
    """What one phase costs."""

    name: str
    share: float
    """Of the CPU time of the workers."""
    cpu_seconds_per_million: float
    copies_share: float
    """Of the CPU time of the workers: the phase's copies by the C library, which are in `share`."""
    share_by_thread: dict[str, float]
    """Of the CPU time of the workers, for each kind of thread; they add up to `share`."""


class Profile(msgspec.Struct, frozen=True):
    """Where the CPU time of the workers of one run went."""

    case: str
    """Of bench/matrix.py."""
    connections: int
    workers: int
    events: int
    events_per_second: float
    """While the samples were taken, which slows the server a little."""
    cpu_seconds_per_million: float
    """Of the workers, as the kernel accounts for it."""
    samples: int
    sampled_share: float
    """The CPU time that the samples stand for, of that which the kernel accounts for."""
    phases: list[Phase]


def phases(samples: Sequence[Sample], cpu_seconds_per_million: float) -> list[Phase]:
    """Return the phases that have samples; their costs add up to what all of it costs."""
    counts = Counter((phase_of(each), thread_of(each), is_copy(each)) for each in samples)
    return [
        _phase(name, counts, cpu_seconds_per_million)
        for name in PHASES
        if any(phase == name for phase, _, _ in counts)
    ]


def _phase(name: str, counts: _Counts, cpu_seconds_per_million: float) -> Phase:
    samples = counts.total()
    own = {key: count for key, count in counts.items() if key[0] == name}
    share = sum(own.values()) / samples
    return Phase(
        name=name,
        share=share,
        cpu_seconds_per_million=share * cpu_seconds_per_million,
        copies_share=sum(count for (_, _, copies), count in own.items() if copies) / samples,
        share_by_thread={
            kind: sum(count for (_, thread, _), count in own.items() if thread == kind) / samples
            for kind in THREADS
        },
    )


def table(profile: Profile) -> str:
    """Return the table for people: a row for each phase, and one for all of them."""
    threads = [
        thread for thread in THREADS if any(each.share_by_thread[thread] for each in profile.phases)
    ]
    head = ["phase", "CPU-s per million", "%", "of it copies, %"]
    head += [f"{thread} thread, %" for thread in threads]
    rows = [
        [
            each.name,
            f"{each.cpu_seconds_per_million:.3f}",
            _percent(each.share),
            _percent(each.copies_share),
            *(_percent(each.share_by_thread[thread]) for thread in threads),
        ]
        for each in profile.phases
    ]
    rows.append(
        [
            "all",
            f"{profile.cpu_seconds_per_million:.3f}",
            _percent(sum(each.share for each in profile.phases)),
            _percent(sum(each.copies_share for each in profile.phases)),
            *(
                _percent(sum(each.share_by_thread[thread] for each in profile.phases))
                for thread in threads
            ),
        ]
    )
    return markdown(head, rows)


def folded(samples: Iterable[Sample]) -> str:
    """Return a line for each stack, the outermost function first, with the number of samples.

    This is what flame graphs are made of. Below the thread stands the phase.
    """
    stacks = Counter(
        ";".join(
            (
                thread_of(each),
                phase_of(each),
                *(frame.symbol.replace(";", ",") for frame in reversed(each.frames)),
            )
        )
        for each in samples
    )
    return "".join(f"{stack} {count}\n" for stack, count in sorted(stacks.items()))


def _percent(share: float) -> str:
    return f"{share * 100:.1f}" if share else ""

"""How long something took, of many: percentiles, and a histogram with always the same bounds."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

import msgspec

from bench.figures import markdown

BOUNDS_MS = (
    *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 75.0, 100.0),
    *(150.0, 200.0, 300.0, 500.0, 1000.0, 2000.0, 5000.0),
)
"""The upper bounds of the histogram's buckets; one more holds what took longer."""

_HEAD = ("", "samples", "p50", "p90", "p95", "p99", "p99.9", "most")


class Distribution(msgspec.Struct, frozen=True):
    """Milliseconds. A percentile is the least time within which so many were done."""

    samples: int
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float
    maximum: float
    buckets: list[int]
    """How many took longer than the bound before and no longer than their own in `BOUNDS_MS`."""

    @classmethod
    def of(cls, milliseconds: Iterable[float]) -> Distribution:
        """Return the distribution of single times."""
        return cls.weighted((each, 1) for each in milliseconds)

    @classmethod
    def weighted(cls, milliseconds: Iterable[tuple[float, int]]) -> Distribution:
        """Return the distribution of times, each with how often it occurred; not of none."""
        ordered = sorted(milliseconds)
        samples, so_far = 0, []
        buckets = [0] * (len(BOUNDS_MS) + 1)
        for time_ms, count in ordered:
            samples += count
            so_far.append(samples)
            buckets[bisect_left(BOUNDS_MS, time_ms)] += count

        def percentile(thousandths: int) -> float:
            needed = -(-samples * thousandths // 1000)
            return ordered[bisect_left(so_far, needed)][0]

        return cls(
            samples=samples,
            p50=percentile(500),
            p90=percentile(900),
            p95=percentile(950),
            p99=percentile(990),
            p999=percentile(999),
            maximum=ordered[-1][0],
            buckets=buckets,
        )


def percentiles(name: str, rows: Iterable[tuple[str, Distribution]]) -> str:
    """Return a table of percentiles, in milliseconds; `name` says what the rows are."""
    return markdown((name, *_HEAD[1:]), [[first, *_percentiles(each)] for first, each in rows])


def histogram(named: Sequence[tuple[str, Distribution]]) -> str:
    """Return a table of the shares of the buckets, without those that are empty everywhere."""
    labels = [f"to {bound:g} ms" for bound in BOUNDS_MS] + [f"over {BOUNDS_MS[-1]:g} ms"]
    rows = [
        [label, *(f"{each.buckets[at] / each.samples:.2%}" for _, each in named)]
        for at, label in enumerate(labels)
        if any(each.buckets[at] for _, each in named)
    ]
    return markdown(("", *(name for name, _ in named)), rows)


def _percentiles(found: Distribution) -> list[str]:
    times = (found.p50, found.p90, found.p95, found.p99, found.p999, found.maximum)
    return [f"{found.samples:,}", *(f"{each:.1f}" for each in times)]

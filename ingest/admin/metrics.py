"""Show the cells of the shared region to prometheus_client, as the metric table says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from ingest import contract
from ingest._native import METRICS, Metric, Region
from ingest.contract import ServerDescription

Sample = tuple[int, int | None, int | None, str | None, int]
"""Index into METRICS, worker, index of the listener or stage, label value, cell."""
Parts = dict[str, list[str]]
"""Names of the listeners and of the stages, by index."""


class RegionCollector(Collector):
    """Reads every public cell whenever it is asked."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._version = contract.decode(region.descriptor, ServerDescription).version

    def collect(self) -> Iterator[Family]:
        """Yield one family for each public row of the metric table."""
        self._region.refresh()
        parts = {"listener": self._region.listeners, "stage": self._region.stages}
        yield InfoMetricFamily("ingest", "The running server.", value={"version": self._version})
        for index, samples in groupby(self._region.samples(), key=lambda sample: sample[0]):
            metric = METRICS[index]
            match metric.kind:
                case "counter":
                    yield _plain(CounterMetricFamily, metric, samples, parts)
                case "gauge":
                    yield _plain(GaugeMetricFamily, metric, samples, parts)
                case "histogram":
                    yield _histogram(metric, samples, parts)


def _plain(
    family_type: type[CounterMetricFamily | GaugeMetricFamily],
    metric: Metric,
    samples: Iterable[Sample],
    parts: Parts,
) -> Family:
    family = family_type(metric.name, metric.help, labels=_label_names(metric, metric.label))
    for _, worker, part, value, cell in samples:
        labels = _place(metric, worker, part, parts)
        family.add_metric(labels if value is None else [*labels, value], cell / metric.scale)
    return family


def _histogram(metric: Metric, samples: Iterable[Sample], parts: Parts) -> Family:
    """Add the cells up, each of which counts what lies between two bounds."""
    family = HistogramMetricFamily(metric.name, metric.help, labels=_label_names(metric, None))
    for (worker, part), cells in groupby(samples, key=lambda sample: sample[1:3]):
        buckets: list[tuple[str, float]] = []
        below, total = 0, 0.0
        for _, _, _, bound, cell in cells:
            if bound == "sum":
                total = cell / metric.scale
            else:
                below += cell
                buckets.append((_write_bound(str(bound)), below))
        family.add_metric(_place(metric, worker, part, parts), buckets, total)
    return family


def _place(metric: Metric, worker: int | None, part: int | None, parts: Parts) -> list[str]:
    """Return the values of the labels that say what a cell is kept for."""
    of_part = [] if part is None else [parts[metric.scope][part]]
    return of_part if worker is None else [*of_part, str(worker)]


def _label_names(metric: Metric, label: str | None) -> list[str]:
    place = {"server": [], "worker": ["worker"]}.get(metric.scope, [metric.scope, "worker"])
    return place if label is None else [*place, label]


def _write_bound(bound: str) -> str:
    """Return a bound as a float, as OpenMetrics demands."""
    return bound if bound == "+Inf" else str(float(bound))

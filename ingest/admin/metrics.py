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

Sample = tuple[int, int, int | None, str | None, int]
"""Index into METRICS, worker, index of the listener or stage, label value, cell."""


class RegionCollector(Collector):
    """Reads every public cell whenever it is asked."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._parts = {"listener": region.listeners, "stage": region.stages}
        self._version = contract.decode(region.descriptor, ServerDescription).version

    def collect(self) -> Iterator[Family]:
        """Yield one family for each public row of the metric table."""
        yield InfoMetricFamily("ingest", "The running server.", value={"version": self._version})
        for index, samples in groupby(self._region.samples(), key=lambda sample: sample[0]):
            metric = METRICS[index]
            match metric.kind:
                case "counter":
                    yield self._plain(CounterMetricFamily, metric, samples)
                case "gauge":
                    yield self._plain(GaugeMetricFamily, metric, samples)
                case "histogram":
                    yield self._histogram(metric, samples)

    def _plain(
        self,
        family_type: type[CounterMetricFamily | GaugeMetricFamily],
        metric: Metric,
        samples: Iterable[Sample],
    ) -> Family:
        family = family_type(metric.name, metric.help, labels=_label_names(metric, metric.label))
        for _, worker, part, value, cell in samples:
            labels = self._place(metric, worker, part)
            family.add_metric(labels if value is None else [*labels, value], cell / metric.scale)
        return family

    def _histogram(self, metric: Metric, samples: Iterable[Sample]) -> Family:
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
            family.add_metric(self._place(metric, worker, part), buckets, total)
        return family

    def _place(self, metric: Metric, worker: int, part: int | None) -> list[str]:
        return [str(worker)] if part is None else [self._parts[metric.scope][part], str(worker)]


def _label_names(metric: Metric, label: str | None) -> list[str]:
    place = ["worker"] if metric.scope == "worker" else [metric.scope, "worker"]
    return place if label is None else [*place, label]


def _write_bound(bound: str) -> str:
    """Return a bound as a float, as OpenMetrics demands."""
    return bound if bound == "+Inf" else str(float(bound))

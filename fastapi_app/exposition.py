"""The metrics in Prometheus' words: its text format and OpenMetrics, by its own client library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from fastapi_app.metrics import Family, Histogram, Kind


class Exposition(Collector):
    """A registry of its own: what other code of this process counts is not ours to show."""

    def __init__(self, collect: Callable[[], Iterable[Family]]) -> None:
        self._collect = collect
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        return map(_written, self._collect())

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before it is counted."""
        return ()

    def render(self, accept: str) -> tuple[bytes, str]:
        """Everything in the form that suits `accept` best, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


def _written(family: Family) -> Metric:
    if family.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        for labels, value in family.samples:
            if isinstance(value, Histogram):
                histogram.add_metric(labels, _buckets(value), value.sum)
        return histogram
    kind = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.labels)
    for labels, value in family.samples:
        if not isinstance(value, Histogram):
            metric.add_metric(labels, value)
    return metric


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
    return list(zip(bounds, accumulate(histogram.counts), strict=True))

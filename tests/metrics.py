"""Reads what `/metrics` answers, with Prometheus' own parser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from tests.servers import Server

Labels = tuple[tuple[str, str], ...]


class Scrape:
    """Everything one server told at one moment."""

    def __init__(self, server: Server) -> None:
        answer = httpx.get(f"{server.new}/metrics", headers=server.auth, timeout=15)
        assert answer.status_code == 200, answer.text
        self.text = answer.text
        self.families: dict[str, Metric] = {
            family.name: family for family in text_string_to_metric_families(answer.text)
        }
        self.samples: dict[tuple[str, Labels], float] = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        """One number; 0 when nothing was counted under these labels."""
        return self.samples.get((name, tuple(sorted(labels.items()))), 0.0)

    def labels(self, name: str, label: str) -> set[str]:
        """Every value a label has."""
        return {dict(found)[label] for sample, found in self.samples if sample == name}

    @property
    def names(self) -> set[str]:
        """The name of each sample."""
        return {name for name, _ in self.samples}

"""What a Prometheus server, and promtool, make of an exposition."""

from __future__ import annotations

import subprocess
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from fraiseql_guard.core.signals import Metric
from tools.components import locate

ROOT = Path(__file__).parents[3]


class Scrape:
    """A parsed exposition: every sample by name and labels, every type by name."""

    def __init__(self, body: bytes) -> None:
        self.text = body.decode()
        self.families = list(text_string_to_metric_families(self.text))
        self.types = {line.split()[2]: line.split()[3] for line in self.text.splitlines() if line.startswith("# TYPE ")}
        # The parser puts _total behind counters that do without; a Prometheus server does not.
        self.samples = [
            sample if sample.name in self.types or family.type != "counter" else sample._replace(name=family.name)
            for family in self.families
            for sample in family.samples
        ]
        keys = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in self.samples]
        assert len(keys) == len(set(keys)), "a series was exported twice"

    def of(self, metric: Metric, suffix: str = "") -> dict[tuple[str, ...], float]:
        """Values of a metric by its label values, in the vocabulary's order."""
        return {
            tuple(sample.labels[label] for label in metric.labels): sample.value
            for sample in self.samples
            if sample.name == metric.name + suffix
        }

    def value(self, metric: Metric, *labels: str, suffix: str = "") -> float | None:
        return self.of(metric, suffix).get(labels)


def promtool_complaints(body: bytes) -> list[str]:
    """What `promtool check metrics` says."""
    done = subprocess.run([str(locate("promtool")), "check", "metrics"], input=body, capture_output=True, timeout=30)
    assert done.returncode in (0, 3), done.stderr.decode()  # 3: advice about names; 1: cannot be read
    return (done.stdout + done.stderr).decode().splitlines()

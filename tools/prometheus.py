"""A real Prometheus of our own: on a free loopback port, in a given folder, ended when it is left."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from tools.components import locate
from tools.listening import end, listening


class PrometheusServer:
    """Scrapes ``targets`` (addresses by job) every ``interval_seconds`` and evaluates ``rule_files`` as often.

    Alerts go to ``alertmanagers`` (addresses), if there are any. RuntimeError if it does not start.
    """

    def __init__(
        self,
        folder: Path,
        targets: Mapping[str, Sequence[str]],
        *,
        rule_files: Sequence[Path] = (),
        alertmanagers: Sequence[str] = (),
        interval_seconds: float = 1.0,
        start_seconds: float = 60.0,
    ) -> None:
        self._folder = folder
        self._start_seconds = start_seconds
        interval = f"{round(interval_seconds * 1000)}ms"
        self._configuration = {
            "global": {"scrape_interval": interval, "evaluation_interval": interval, "scrape_timeout": interval},
            "rule_files": [str(path) for path in rule_files],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": list(each)}]} for job, each in targets.items()
            ],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]},
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.end()

    def start(self) -> None:
        """Start, and return when it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        configuration, log = self._folder / "prometheus.yml", self._folder / "prometheus.log"
        configuration.write_text(yaml.safe_dump(self._configuration), encoding="utf-8")
        self._process, address = listening(
            lambda address: [
                locate("prometheus"),
                f"--config.file={configuration}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            log,
            start_seconds=self._start_seconds,
        )
        self.url = f"http://{address}"

    @property
    def pid(self) -> int:
        """Of the process that runs; RuntimeError if none does."""
        if self._process is None:
            raise RuntimeError("prometheus does not run")
        return self._process.pid

    def end(self) -> None:
        """Stop it, and wait until it has."""
        end(self._process)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression has now, each with its labels and its value; none of them NaN."""
        found = self._asked("query", query=expression)["result"]
        return [each for each in found if not math.isnan(float(each["value"][1]))]

    def firing(self) -> dict[str, list[dict[str, Any]]]:
        """The alerts that fire now, by name: each with its labels and annotations."""
        by_name: dict[str, list[dict[str, Any]]] = {}
        for alert in self._asked("alerts")["alerts"]:
            if alert["state"] == "firing":
                by_name.setdefault(alert["labels"]["alertname"], []).append(alert)
        return by_name

    def _asked(self, path: str, **parameters: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30, trust_env=False)
        found: dict[str, Any] = answer.json()
        if found["status"] != "success":
            raise ValueError(f"{parameters}: {found['error']}")
        return found["data"]

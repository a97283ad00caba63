"""A real Alertmanager of our own, and the webhook that it calls: on free loopback ports, ended when they are left."""

from __future__ import annotations

import json
import subprocess
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import yaml

from tools.components import locate
from tools.listening import end, listening

_START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Notice:
    """What the engineer on call is told of one alert. ``status`` is firing or resolved."""

    status: str
    name: str
    labels: dict[str, str]
    annotations: dict[str, str]


class Webhook:
    """Takes what Alertmanager sends, and remembers it in the order of its coming."""

    def __init__(self) -> None:
        self._notices: list[Notice] = []
        received = self._received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing on standard error."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    @property
    def notices(self) -> tuple[Notice, ...]:
        """All so far."""
        return tuple(self._notices)

    def _received(self, message: dict[str, Any]) -> None:
        for alert in message["alerts"]:
            labels = dict(alert["labels"])
            self._notices.append(Notice(alert["status"], labels["alertname"], labels, dict(alert["annotations"])))


class AlertmanagerServer:
    """Tells a webhook of every alert, when it fires and when it resolves. RuntimeError if it does not start."""

    def __init__(self, folder: Path, webhook_url: str) -> None:
        self._folder = folder
        self._configuration = {
            "route": {
                "receiver": "webhook",
                "group_by": ["..."],
                "group_wait": "0s",
                "group_interval": "1s",
                "repeat_interval": "1h",
            },
            "receivers": [{"name": "webhook", "webhook_configs": [{"url": webhook_url, "send_resolved": True}]}],
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.address = ""

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        configuration, log = self._folder / "alertmanager.yml", self._folder / "alertmanager.log"
        configuration.write_text(yaml.safe_dump(self._configuration), encoding="utf-8")
        self._process, self.address = listening(
            lambda address: [
                locate("alertmanager"),
                f"--config.file={configuration}",
                f"--storage.path={self._folder / 'data'}",
                f"--web.listen-address={address}",
                "--cluster.listen-address=",  # alone
            ],
            log,
            start_seconds=_START_SECONDS,
        )
        return self

    def __exit__(self, *_exception: object) -> None:
        end(self._process)

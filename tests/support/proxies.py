"""Reverse proxies that run the configurations of docs/proxies.md, each as a process of its own on a free loopback port.

A configuration is taken from the page as it stands. Only what names a machine is put in place: ports, the host's name,
files. What is to be replaced and does not stand there is an error.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from tests.support.certificate import Certificate
from tests.support.ports import free_port
from tools.components import locate
from tools.docs import ROOT

PAGE: Final = "docs/proxies.md"
_START_SECONDS: Final = 30.0
_END_SECONDS: Final = 10.0
_NGINX_AROUND: Final = """\
daemon off;
{user}worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{site}
}}
"""
_CADDY_AROUND: Final = """\
{{
	admin off
	auto_https disable_redirects
	default_bind 127.0.0.1
	storage file_system {folder}
}}
{site}
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a proxy runs: its folder, its port, that of the app, and its certificate."""

    folder: Path
    port: int
    app_port: int
    certificate: Certificate
    pem: Path
    """Certificate and key in one file."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the configuration under a heading of the page is run. ``written`` makes its files and the command."""

    heading: str
    written: Callable[[tuple[str, ...], Place], list[str]]
    bounds_bodies: bool = True
    """Whether the proxy itself refuses a body that is far too large."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that listens."""

    name: str
    place: Place
    trust: ssl.SSLContext

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.place.port}"

    @property
    def ws(self) -> str:
        """The URL of the sockets."""
        return f"wss://127.0.0.1:{self.place.port}/graphql"

    def logged(self) -> str:
        """What it has written to its logs so far."""
        files = [path for path in self.place.folder.iterdir() if path.suffix in {".log", ".txt"}]
        return "\n".join(path.read_text(errors="replace") for path in files)


def configurations(heading: str) -> tuple[str, ...]:
    """The code blocks under a heading of the page."""
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return tuple(re.findall(r"^```\w+\n(.*?)^```", section, re.DOTALL | re.MULTILINE))


def _placed(text: str, changes: Mapping[str, object]) -> str:
    for old, new in changes.items():
        if old not in text:
            raise ValueError(f"{PAGE} no longer says {old!r}")
        text = text.replace(old, str(new))
    return text


def _nginx(blocks: tuple[str, ...], at: Place) -> list[str]:
    (site,) = blocks
    site = _placed(
        site,
        {
            "listen 443 ssl": f"listen 127.0.0.1:{at.port} ssl",
            "127.0.0.1:8000": f"127.0.0.1:{at.app_port}",
            "/etc/ssl/api.example.org.pem": at.certificate.file,
            "/etc/ssl/api.example.org.key": at.certificate.key,
            "/var/log/nginx/api.log": at.folder / "access.log",
        },
    )
    user = "user root;\n" if os.geteuid() == 0 else ""  # its folders are this user's
    (at.folder / "nginx.conf").write_text(_NGINX_AROUND.format(user=user, folder=at.folder, site=site))
    return ["nginx", "-p", str(at.folder), "-c", "nginx.conf", "-e", str(at.folder / "error.log")]


def _haproxy(blocks: tuple[str, ...], at: Place) -> list[str]:
    (text,) = blocks
    changes = {
        "bind :443": f"bind 127.0.0.1:{at.port}",
        "127.0.0.1:8000": f"127.0.0.1:{at.app_port}",
        "/etc/haproxy/api.example.org.pem": at.pem,
        "maxconn 20000": "maxconn 200",
    }
    (at.folder / "haproxy.cfg").write_text(_placed(text, changes))
    return ["haproxy", "-db", "-f", str(at.folder / "haproxy.cfg")]


def _caddy(blocks: tuple[str, ...], at: Place) -> list[str]:
    (text,) = blocks
    changes = {
        "api.example.org {": (
            f"https://127.0.0.1:{at.port} {{\n\ttls {at.certificate.file} {at.certificate.key}"  # no authority here
        ),
        "127.0.0.1:8000": f"127.0.0.1:{at.app_port}",
        "/var/log/caddy/api.log": at.folder / "access.log",
    }
    (at.folder / "Caddyfile").write_text(_CADDY_AROUND.format(folder=at.folder, site=_placed(text, changes)))
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(at.folder / "Caddyfile")]


def _traefik(blocks: tuple[str, ...], at: Place) -> list[str]:
    static, dynamic = blocks
    changes = {'":443"': f'"127.0.0.1:{at.port}"', "/etc/traefik/api.yml": at.folder / "api.yml"}
    (at.folder / "traefik.yml").write_text(_placed(static, changes) + "global:\n  checkNewVersion: false\n")
    changes = {
        "Host(`api.example.org`)": "Host(`127.0.0.1`)",
        "127.0.0.1:8000": f"127.0.0.1:{at.app_port}",
        "/etc/traefik/api.example.org.pem": at.certificate.file,
        "/etc/traefik/api.example.org.key": at.certificate.key,
    }
    (at.folder / "api.yml").write_text(_placed(dynamic, changes))
    return ["traefik", f"--configfile={at.folder / 'traefik.yml'}"]


def _envoy(blocks: tuple[str, ...], at: Place) -> list[str]:
    (text,) = blocks
    changes = {
        "{address: 0.0.0.0, port_value: 443}": f"{{address: 127.0.0.1, port_value: {at.port}}}",
        "port_value: 8000": f"port_value: {at.app_port}",
        "/etc/envoy/api.example.org.pem": at.certificate.file,
        "/etc/envoy/api.example.org.key": at.certificate.key,
        "/var/log/envoy/api.log": at.folder / "access.log",
    }
    (at.folder / "envoy.yaml").write_text(_placed(text, changes))
    options = [
        "--disable-hot-restart",
        "--concurrency",
        "1",
        "--log-level",
        "warn",
        "--file-flush-interval-msec",
        "100",
    ]
    return ["envoy", "-c", str(at.folder / "envoy.yaml"), *options]


RECIPES: Final = {
    "nginx": Recipe("nginx", _nginx),
    "haproxy": Recipe("HAProxy", _haproxy),
    "caddy": Recipe("Caddy", _caddy, bounds_bodies=False),
    "traefik": Recipe("Traefik", _traefik, bounds_bodies=False),
    "envoy": Recipe("Envoy", _envoy, bounds_bodies=False),
}


@contextlib.contextmanager
def proxying(name: str, app_port: int, folder: Path) -> Iterator[Proxy]:
    """The proxy of that name in front of an app on this machine that answers /probe; it ends with the block."""
    certificate = Certificate.make(folder)
    pem = folder / "both.pem"
    pem.write_text(certificate.file.read_text() + certificate.key.read_text())
    place = Place(folder, free_port(), app_port, certificate, pem)
    program, *arguments = RECIPES[name].written(configurations(RECIPES[name].heading), place)
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [str(locate(program)), *arguments], cwd=folder, env={**os.environ, "HOME": str(folder)},
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        proxy = Proxy(name, place, ssl.create_default_context(cafile=str(certificate.file)))
        _wait(process, proxy)
        yield proxy
    finally:
        _end(process)


def _wait(process: subprocess.Popen[bytes], proxy: Proxy) -> None:
    """Until the app answers through it: some listen before they have read all that they are told."""
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{proxy.url}/probe", verify=proxy.trust, trust_env=False, timeout=10).is_success:
                return
        time.sleep(0.05)
    said = (proxy.place.folder / "output.txt").read_text(errors="replace")
    raise RuntimeError(f"the proxy does not start: {said[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its own group, which we have started
        process.wait()

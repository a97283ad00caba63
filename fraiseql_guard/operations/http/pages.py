"""Serves the console's files below the admin path. They need no token, so that operators can log in.

The files hold no secret: all data comes from the API, which asks for a token. Their Content-Security-Policy lets a
browser load and ask this server alone, run no inline script, and turn no text into markup.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fraiseql_guard.operations.http.problems import GUARDING, Header

CONTENT_SECURITY_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    b"form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
    b"require-trusted-types-for 'script'; trusted-types 'none'"
)
_FOLDER: Final = Path(__file__).with_name("console")
_INDEX: Final = "index.html"
_MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS: Final[tuple[Header, ...]] = (
    *GUARDING,
    (b"content-security-policy", CONTENT_SECURITY_POLICY),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)


@dataclass(frozen=True, slots=True)
class ConsoleFile:
    """An ASGI app with one fixed answer."""

    status: int
    headers: tuple[Header, ...]
    body: bytes = b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002 - an ASGI app
        """Send the answer; its headers alone for HEAD."""
        headers = [*_HEADERS, *self.headers, (b"content-length", b"%d" % len(self.body))]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else self.body})


def console(admin_path: str) -> Mapping[str, ConsoleFile]:
    """The console's files by their path below the admin path, read once. The admin path itself redirects to its folder
    by a relative address, which is right behind a proxy that adds a prefix."""
    found = {f"/{file.name}": _page(file) for file in _FOLDER.iterdir() if file.suffix in _MEDIA_TYPES}
    found["/"] = found.pop(f"/{_INDEX}")
    found[""] = ConsoleFile(308, ((b"location", f"{admin_path.rpartition('/')[2]}/".encode()),))
    return found


def _page(file: Path) -> ConsoleFile:
    return ConsoleFile(200, ((b"content-type", _MEDIA_TYPES[file.suffix].encode()),), file.read_bytes())

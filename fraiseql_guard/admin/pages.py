"""Files that everybody may read below the admin path: the console's page, its script and style.

They hold no secret and know nothing; whoever reads them still has to log in. Everything they may load or talk to is
this very server's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fraiseql_guard.admin.problems import GUARDING

CONTENT_SECURITY_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Page:
    """One file, as an ASGI app."""

    body: bytes
    media_type: str

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002 - an ASGI app
        """Send it."""
        headers = [
            *GUARDING,
            (b"content-type", self.media_type.encode()),
            (b"content-length", b"%d" % len(self.body)),
            (b"content-security-policy", CONTENT_SECURITY_POLICY),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else self.body})

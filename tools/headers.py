"""Every HTTP header that the guard reads or writes: the table of docs/headers.md.

Headers that only proxies send stand in identity/proxy_headers.py, and a table of their own is made of them. A test
holds that the package spells no header that is missing here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fraiseql_guard.core.settings import name_of


@dataclass(frozen=True, slots=True)
class HeaderRow:
    """A header by the name that clients write, and what it is for. ``option`` is the setting that is about it."""

    name: str
    meaning: str
    option: str = ""

    @property
    def setting(self) -> str:
        """The variable that is about it."""
        return f"`{name_of(self.option)}`" if self.option else ""


READ: Final = (
    HeaderRow("Accept", "Chooses the form of a refusal: a GraphQL result, JSON or server-sent events."),
    HeaderRow("Accept-Encoding", "The metrics page is compressed for a scraper that accepts gzip."),
    HeaderRow("Accept-Language", "Given to `render_refusal`, so that the app answers in the client's language."),
    HeaderRow("Access-Control-Request-Method", "Together with `Origin` it makes an OPTIONS request a preflight."),
    HeaderRow("Apollo-Require-Preflight", "Shows that a page had to ask before it sent the request."),
    HeaderRow("Authorization", "A token (`Bearer`) or an API key (`Bearer` or `ApiKey`)."),
    HeaderRow("Content-Encoding", "A compressed request body is refused (415)."),
    HeaderRow("Content-Length", "A body above the limit is refused before it is read.", "max_body_bytes"),
    HeaderRow("Content-Type", "GraphQL comes as JSON; other types are refused (415).", "multipart"),
    HeaderRow("Cookie", "May hold the token, if the setting names a cookie.", "token_cookie"),
    HeaderRow("Forwarded", "The client's address, from a trusted proxy (RFC 7239).", "forwarded_header"),
    HeaderRow("GraphQL-Require-Preflight", "Shows that a page had to ask before it sent the request."),
    HeaderRow("Host", "Where the request goes to: compared with `Origin`."),
    HeaderRow("Origin", "The page that sends the request: decides cookies, WebSockets and CORS.", "cors_origins"),
    HeaderRow("Sec-Fetch-Site", "Whether the request comes from a page of another site."),
    HeaderRow("traceparent", "The trace that log lines and spans belong to (W3C)."),
    HeaderRow("Transfer-Encoding", "Whether a body follows whose length is not announced."),
    HeaderRow("User-Agent", "Stands in log lines."),
    HeaderRow("X-Api-Key", "An API key; the setting names another header.", "api_key_header"),
    HeaderRow("X-Apollo-Operation-Name", "Shows that a page had to ask before it sent the request."),
    HeaderRow("X-Forwarded-For", "The client's address, from a trusted proxy.", "trusted_proxies"),
    HeaderRow("X-Forwarded-Host", "The host that the client asked, from a trusted proxy.", "trusted_proxies"),
    HeaderRow("X-Forwarded-Proto", "The scheme that the client used, from a trusted proxy.", "trusted_proxies"),
    HeaderRow("X-Request-ID", "From a trusted proxy it stands in log lines as `client_request_id`."),
    HeaderRow("X-Requested-With", "Shows that a page had to ask before it sent the request."),
)
"""Of requests, in the order of their names."""

WRITTEN: Final = (
    HeaderRow("Accept-Post", "On 415: the media types that are accepted."),
    HeaderRow("Access-Control-Allow-Credentials", "On refusals, for pages of the listed origins.", "cors_origins"),
    HeaderRow("Access-Control-Allow-Origin", "On refusals, for pages of the listed origins.", "cors_origins"),
    HeaderRow("Access-Control-Expose-Headers", "The headers of limits, for pages of those origins.", "cors_origins"),
    HeaderRow("Allow", "On 405: the methods that are accepted."),
    HeaderRow("Cache-Control", "`no-store` on refusals, metrics, health details and operators' pages."),
    HeaderRow("Content-Encoding", "`gzip` on the metrics page, if the scraper accepts it."),
    HeaderRow("Content-Length", "Of the guard's own answers, and of answers that it changes."),
    HeaderRow("Content-Security-Policy", "On the console's pages."),
    HeaderRow("Content-Type", "Of the guard's own answers."),
    HeaderRow("Cross-Origin-Opener-Policy", "On the console's pages."),
    HeaderRow("Cross-Origin-Resource-Policy", "On the console's pages."),
    HeaderRow("Permissions-Policy", "On the console's pages."),
    HeaderRow("RateLimit", "What is left of each rate.", "rate_limit_headers"),
    HeaderRow("RateLimit-Policy", "The rates that the request was counted against.", "rate_limit_headers"),
    HeaderRow("Referrer-Policy", "On operators' pages."),
    HeaderRow("Retry-After", "On refusals that end by themselves: seconds until the same request can be admitted."),
    HeaderRow("Set-Cookie", "The console's session."),
    HeaderRow("Vary", "`Origin` where a refusal depends on it; `Accept` and `Accept-Encoding` on the metrics page."),
    HeaderRow("WWW-Authenticate", "On 401: how to show who you are."),
    HeaderRow("X-Accel-Buffering", "`no` on server-sent events, so that nginx passes each event on at once."),
    HeaderRow("X-Content-Type-Options", "On operators' pages."),
    HeaderRow("X-RateLimit-Limit", "Requests per window.", "rate_limit_headers"),
    HeaderRow("X-RateLimit-Remaining", "Requests that would be admitted now.", "rate_limit_headers"),
    HeaderRow("X-RateLimit-Reset", "Unix time at which the bucket is full again.", "rate_limit_headers"),
    HeaderRow("X-Request-ID", "Names the request, in log lines and for `fraiseql-guard why`."),
)
"""In answers, in the order of their names."""

_UNCHANGED = "An answer that carries it is passed on as it is, because it would be untrue of a changed body."

OF_THE_APP: Final = (
    HeaderRow("Content-Digest", _UNCHANGED),
    HeaderRow("Content-Encoding", _UNCHANGED),
    HeaderRow("Content-Length", "An answer of known length can be changed; a streamed one is passed on as it is."),
    HeaderRow("Content-MD5", _UNCHANGED),
    HeaderRow("Content-Type", "Tells GraphQL results, streams of events and multipart answers apart."),
    HeaderRow("Digest", _UNCHANGED),
    HeaderRow("ETag", _UNCHANGED),
    HeaderRow("Repr-Digest", _UNCHANGED),
    HeaderRow("Signature", _UNCHANGED),
    HeaderRow("X-Request-ID", "Replaced by the guard's own, as are the headers of limits."),
)
"""In answers of the app, in the order of their names. The header that names what an operation cost is a setting."""

"""What an app is told of a refusal whose body it makes itself, and what it may answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_MEDIA_TYPE: Final = re.compile(r"[-!#$&^_.+0-9A-Za-z]+/[-!#$&^_.+0-9A-Za-z]+(?: ?; ?[\x20-\x7e]+)?")
_NAME: Final = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(r"[\x20-\x7e]*")
_OURS: Final = frozenset(
    {
        *("allow", "connection", "content-encoding", "content-length", "content-type", "transfer-encoding"),
        *("retry-after", "x-request-id"),
        *("age", "cache-control", "etag", "expires", "last-modified", "pragma", "vary"),
    }
)
_OUR_PREFIXES: Final = ("access-control-", "ratelimit", "x-ratelimit-")


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalFacts:
    """One refusal, as its caller hears of it.

    ``extensions`` are those of the guard's own answer; numbers that callers are not told are missing there, and None
    here. ``graphql`` says whether the answer is one to a GraphQL request, ``accept`` and ``accept_language`` what the
    request says about answers.
    """

    code: str
    status: int
    message: str
    detail: str | None
    limit: float | None
    actual: float | None
    path: str | None
    retry_after_seconds: int | None
    request_id: str
    protection: str
    graphql: bool
    accept: str = ""
    accept_language: str = ""
    extensions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefusalBody:
    """The body of a refusal: a dict or list (JSON), or text or bytes with their ``media_type``.

    JSON without a media type has that of the guard's own answer on GraphQL paths, elsewhere ``application/json``.
    ``headers`` are added to the answer's. TypeError or ValueError for what cannot be sent, and for headers that are the
    guard's: Retry-After, and those about rate limits, CORS, caches, the body and the request id.
    """

    content: Mapping[str, Any] | Sequence[Any] | str | bytes
    media_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.content, dict | list | str | bytes):
            raise TypeError(f"a refusal's body is a dict, list, str or bytes, not {type(self.content).__name__}")
        if self.media_type is None and isinstance(self.content, str | bytes):
            raise TypeError("a refusal's body that is text or bytes needs a media_type")
        if self.media_type is not None and not _MEDIA_TYPE.fullmatch(self.media_type):
            raise ValueError(f"{self.media_type!a} is no media type")
        for name, value in self.headers.items():
            if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
                raise ValueError(f"the header {name!a} of a refusal cannot be sent")
            if name.lower() in _OURS or name.lower().startswith(_OUR_PREFIXES):
                raise ValueError(f"the header {name} of a refusal is the guard's")


RenderRefusal = Callable[[RefusalFacts], RefusalBody | Mapping[str, Any] | Sequence[Any] | None]
"""Returns the body of a refusal; None for the guard's own."""

"""Reads the answers of the HTTP API, and explains those that come from something else.

The guard's own answers carry the mark of the API (``X-FraiseQL-Guard``), or are refusals of the guard in front of it
(problem+json with a code of ours). Anything else, whatever its status, becomes an error that says what answered
instead, and what helps.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx

from fraiseql_guard.core.settings import name_of
from fraiseql_guard.core.signals import ADMIN_UNAUTHENTICATED, CODES
from fraiseql_guard.operations.operator.interface import DangerousError, NotAppliedError, NotFoundError, OperatorError
from fraiseql_guard.operations.operator.json_values import MARK

_MARK_NAME, _MARK = MARK
_PROBLEM: Final = "application/problem+json"
_REFUSALS: Final = frozenset(code.name for code in CODES)
_SHOWN_CHARS: Final = 200
_OF_PROXIES: Final = frozenset({502, 503, 504})
_CREDENTIALS: Final = frozenset({401, 403, 407})


def detail_of(answer: httpx.Response, url: str) -> Mapping[str, Any]:
    """The JSON object of a successful answer; OperatorError if the guard did not give it (a proxy, another app)."""
    found = _object(answer)
    if found is None or not _is_api(answer):
        raise OperatorError(_elsewhere(answer, url))
    return found


def refusal_of(answer: httpx.Response, url: str) -> OperatorError:
    """The error that an unsuccessful answer stands for, with what helps. NotFoundError only if the API itself has
    looked and found nothing: a 404 of anything else is an OperatorError."""
    # Not the guard's: a proxy, a login page, another app.
    problem = _problem(answer)
    if problem is None:
        return OperatorError(_elsewhere(answer, url))
    code, field = problem.get("code"), problem.get("field")
    detail = str(problem.get("detail") or problem.get("title") or f"the answer was {answer.status_code}")
    # A refusal of the guard in front of the API, or of the API itself.
    if code == ADMIN_UNAUTHENTICATED.name:
        return OperatorError(
            f"{url} does not know the token in {name_of('admin_token')}: it must be one of those in "
            f"{name_of('admin_tokens')} there"
        )
    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        wait = answer.headers.get("Retry-After", "some")[:_SHOWN_CHARS]
        return OperatorError(f"{url} wants to be asked again in {wait} s: {detail}")
    if not _is_api(answer):
        return OperatorError(f"{url} refuses: {answer.status_code} {code}, {detail}. {_where(url)}")
    if code == NotFoundError.code:
        return NotFoundError(detail, field=field)
    if code == DangerousError.code:
        return DangerousError(detail, field=field, would_have_met=problem.get("would_have_met"))
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        return NotAppliedError(detail, field=field)
    return OperatorError(detail, field=field)


def unreached(error: httpx.HTTPError, url: str, *, timeout_seconds: float) -> str:
    """A sentence that says why no answer came, and what helps."""
    # TLS first: its errors hide behind a failed connection.
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"{url} cannot be reached: its certificate is not trusted here ({cause.verify_message}). For a CA of "
                "your own set SSL_CERT_FILE to its file"
            )
        if isinstance(cause, ssl.SSLError):
            return f"{url} cannot be reached: it speaks no TLS that is understood here ({cause.reason}). Is it http://?"
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return f"{url} cannot be reached: {error or 'no answer in time'}. Is host and port right, and does it serve?"
    if isinstance(error, httpx.TimeoutException):
        return f"{url} did not answer within {timeout_seconds:g} s"
    if isinstance(error, httpx.RemoteProtocolError):
        return f"{url} did not answer in HTTP: {error}. Is it https://, or another port?"
    return f"{url} did not answer: {error or type(error).__name__}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it, ten steps back at most."""
    found: BaseException | None = error
    for _ in range(10):
        if found is None:
            return
        yield found
        found = found.__cause__ or found.__context__


def _is_api(answer: httpx.Response) -> bool:
    return bool(answer.headers.get(_MARK_NAME) == _MARK)


def _problem(answer: httpx.Response) -> Mapping[str, Any] | None:
    """The problem in an answer of the guard; None for any other answer."""
    media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    found = _object(answer) if media_type == _PROBLEM else None
    if found is None or found.get("status") != answer.status_code:
        return None
    return found if _is_api(answer) or found.get("code") in _REFUSALS else None


def _object(answer: httpx.Response) -> Mapping[str, Any] | None:
    try:
        found = answer.json()
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _elsewhere(answer: httpx.Response, url: str) -> str:
    """A sentence that says what answers there instead of the guard's API."""
    status = answer.status_code
    if answer.is_redirect:
        place = answer.headers.get("Location", "?")[:_SHOWN_CHARS]
        return f"{url} sends to {place} ({status}), where the token does not follow: give the right --url"
    if status in _OF_PROXIES:
        return (
            f"{url} answers {status}, and not by the guard: a proxy before it reaches no worker. Ask one directly, "
            f"or without --url on the Redis in {name_of('redis_url')}"
        )
    if status in _CREDENTIALS:
        says = "is not the guard's API: something before it wants other credentials"
        return f"{url} answers {status} and {says}. {_where(url)}"
    return f"{url} answers {status} and is not the guard's API. {_where(url)}"


def _where(url: str) -> str:
    """A sentence that says where the API is served."""
    path = httpx.URL(url).path.rstrip("/")
    missing = "" if path.endswith("/admin") else f": --url {url}/admin"
    stands = f"It stands under {name_of('admin_path')} there (/admin unless set{missing})"
    return f"{stands}, if {name_of('admin_tokens')} is set"

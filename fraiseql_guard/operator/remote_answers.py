"""What an answer of the HTTP API means to whoever asked through it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from fraiseql_guard.operator.interface import DangerousError, NotAppliedError, NotFoundError, OperatorError
from fraiseql_guard.settings import name_of


def detail_of(answer: httpx.Response, url: str) -> Mapping[str, Any]:
    """The JSON object of a successful answer; OperatorError if it has none (a proxy's page, another app)."""
    found = _object(answer)
    if found is None:
        raise OperatorError(_elsewhere(answer, url))
    return found


def refusal_of(answer: httpx.Response, url: str) -> OperatorError:
    """The error that an unsuccessful answer stands for, with what helps."""
    problem = _object(answer) or {}
    detail = str(problem.get("detail") or "")
    field = problem.get("field")
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return OperatorError(
            f"{url} does not know the token in {name_of('admin_token')}: it must be one of those in "
            f"{name_of('admin_tokens')} there"
        )
    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        wait = answer.headers.get("Retry-After", "some")
        return OperatorError(f"{url} wants to be asked again in {wait} s: {detail or 'too many requests'}")
    if not detail:
        return OperatorError(_elsewhere(answer, url))
    if answer.status_code == httpx.codes.NOT_FOUND:
        return NotFoundError(detail, field=field)
    if answer.status_code == httpx.codes.CONFLICT and "would_have_met" in problem:
        return DangerousError(detail, field=field, would_have_met=problem["would_have_met"])
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        return NotAppliedError(detail, field=field)
    return OperatorError(detail, field=field)


def _object(answer: httpx.Response) -> Mapping[str, Any] | None:
    try:
        found = answer.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _elsewhere(answer: httpx.Response, url: str) -> str:
    if answer.is_redirect:
        place = answer.headers.get("Location", "?")[:200]
        return f"{url} sends to {place} ({answer.status_code}), where the token does not follow: give the right --url"
    return (
        f"{url} answers {answer.status_code} and is not the guard's API. Is the path right, and is "
        f"{name_of('admin_tokens')} set there?"
    )

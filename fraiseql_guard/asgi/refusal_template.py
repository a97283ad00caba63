"""A JSON file with the bodies of refusals, for operators who change no code: texts in it hold placeholders.

A value takes the place of a placeholder inside parsed JSON, so that nothing in it can be taken for a part of the
document. What the file holds is checked at the start.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import orjson

from fraiseql_guard.core.refusal_facts import RefusalBody, RefusalFacts
from fraiseql_guard.core.settings import name_of
from fraiseql_guard.core.signals import CODES
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.core.watched_file import cause_of

_LONGEST_BYTES: Final = 1_048_576
_DEEPEST: Final = 50
_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_]+)\}")
_VALUES: Final[Mapping[str, Callable[[RefusalFacts], Any]]] = {
    "code": lambda facts: facts.code,
    "message": lambda facts: facts.message,
    "detail": lambda facts: facts.detail,
    "status": lambda facts: facts.status,
    "limit": lambda facts: facts.limit,
    "actual": lambda facts: facts.actual,
    "path": lambda facts: facts.path,
    "retryAfter": lambda facts: facts.retry_after_seconds,
    "requestId": lambda facts: facts.request_id,
}
_GRAPHQL, _HTTP, _CODES, _MEDIA_TYPE = "graphql", "http", "codes", "httpMediaType"

_Made = Callable[[RefusalFacts], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalTemplate:
    """Bodies of GraphQL refusals and of others, for all codes and for single ones. A kind without one has the guard's
    own."""

    graphql: _Made | None = None
    http: _Made | None = None
    of_codes: Mapping[str, RefusalTemplate]
    media_type: str | None = None

    def __call__(self, facts: RefusalFacts) -> RefusalBody | None:
        """The body of a refusal; None for the guard's own."""
        of_code = self.of_codes.get(facts.code, self)
        if facts.graphql:
            made = of_code.graphql or self.graphql
            return None if made is None else RefusalBody(made(facts))
        made = of_code.http or self.http
        return None if made is None else RefusalBody(made(facts), self.media_type)


def load_template(path: Path) -> RefusalTemplate:
    """The template in a file. SettingsError says what in it cannot be used, and what could stand there."""
    try:
        return _template(orjson.loads(_content(path)))
    except OSError as error:
        problem = f"cannot be read: {cause_of(error)}"
    except orjson.JSONDecodeError as error:
        problem = f"is not JSON: {error}"
    except ValueError as error:
        problem = str(error)
    example = '{"graphql": {"errors": [{"message": "{message}", "extensions": {"code": "{code}"}}]}}'
    raise SettingsError(f"{name_of('refusal_template_file')}={str(path)!r} {problem}. For example {example}")


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(_LONGEST_BYTES + 1)
    if len(content) > _LONGEST_BYTES:
        raise ValueError(f"is longer than {_LONGEST_BYTES:,} bytes")
    return content


def _template(found: Any) -> RefusalTemplate:
    members = _members(found, "the file", (_GRAPHQL, _HTTP, _CODES, _MEDIA_TYPE))
    codes = _members(members.get(_CODES, {}), _CODES, [code.name for code in CODES], "code")
    of_codes = {}
    for code, each in codes.items():
        where = f"{_CODES}.{code}"
        of_codes[code] = _kinds(_members(each, where, (_GRAPHQL, _HTTP)), f"{where}.")
    media_type = members.get(_MEDIA_TYPE)
    try:
        RefusalBody({}, media_type)
    except (TypeError, ValueError):
        raise ValueError(f"holds a {_MEDIA_TYPE} that is no media type") from None
    every = _kinds(members, "")
    return RefusalTemplate(graphql=every.graphql, http=every.http, of_codes=of_codes, media_type=media_type)


def _kinds(members: Mapping[str, Any], where: str) -> RefusalTemplate:
    graphql, http = members.get(_GRAPHQL), members.get(_HTTP)
    if graphql is not None and not _is_result(graphql):
        raise ValueError(f"holds no errors[].message (a text) in {where}{_GRAPHQL}: clients know no other errors")
    if http is not None and not isinstance(http, dict | list):
        raise ValueError(f"holds neither an object nor an array in {where}{_HTTP}")
    return RefusalTemplate(
        graphql=None if graphql is None else _compiled(graphql, where + _GRAPHQL),
        http=None if http is None else _compiled(http, where + _HTTP),
        of_codes={},
    )


def _is_result(graphql: Any) -> bool:
    errors = graphql.get("errors") if isinstance(graphql, dict) else None
    if not isinstance(errors, list) or not errors:
        return False
    # A placeholder that stands alone may become a number or null, which is no message.
    texts = [each.get("message") if isinstance(each, dict) else None for each in errors]
    return all(isinstance(text, str) and text not in _MAYBE_NO_TEXT for text in texts)


def _members(found: Any, where: str, accepted: Iterable[str], what: str = "member") -> Mapping[str, Any]:
    if not isinstance(found, dict):
        raise ValueError(f"holds no object in {where}")
    names = list(accepted)
    for name in found:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]}?" if near else f". Accepted: {', '.join(names[:10])}"
            raise ValueError(f"holds {name[:60]!a} in {where}, which is no {what}{hint}")
    return found


def _compiled(found: Any, where: str, depth: int = 0) -> _Made:
    """What makes the value of this part of the template; texts without placeholders stay."""
    if depth > _DEEPEST:
        raise ValueError(f"is nested more than {_DEEPEST} levels deep")
    if isinstance(found, dict):
        for name in found:
            if _PLACEHOLDER.search(name):
                raise ValueError(f"holds a placeholder in the member's name {name[:60]!a} of {where}: only values may")
        members = {name: _compiled(each, f"{where}.{name}", depth + 1) for name, each in found.items()}
        return lambda facts: {name: made(facts) for name, made in members.items()}
    if isinstance(found, list):
        items = [_compiled(each, f"{where}[{place}]", depth + 1) for place, each in enumerate(found)]
        return lambda facts: [made(facts) for made in items]
    return _text(found, where) if isinstance(found, str) else lambda _: found


def _text(text: str, where: str) -> _Made:
    for name in _PLACEHOLDER.findall(text):
        if name not in _VALUES:
            near = get_close_matches(name, _VALUES, n=1)
            hint = f"did you mean {{{near[0]}}}?" if near else f"accepted: {', '.join(_VALUES)}"
            raise ValueError(f"holds the placeholder {{{name[:40]}}} in {where}, which is none; {hint}")
    if alone := _PLACEHOLDER.fullmatch(text):
        return _VALUES[alone[1]]
    # Every second part is the name of a placeholder.
    parts = _PLACEHOLDER.split(text)
    made = [_VALUES[part] if place % 2 else None for place, part in enumerate(parts)]
    if len(parts) == 1:
        return lambda _: text
    return lambda facts: "".join(
        [part if value is None else _spelt(value(facts)) for part, value in zip(parts, made, strict=True)]
    )


def _spelt(value: Any) -> str:
    """A value inside a longer text; nothing for what is not known."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


_MAYBE_NO_TEXT: Final = frozenset(f"{{{name}}}" for name in _VALUES if name not in ("code", "message", "requestId"))
"""Placeholders whose values are numbers, or may be missing."""

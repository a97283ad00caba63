"""Reads the corpus: attacks and ordinary requests as data.

In every text ``«N|text»`` stands for N repetitions, in which ``§`` is the number of the repetition from 0 on and
``{§+1}`` the one after it. As a variable ``«list N»`` is a list of N numbers and ``«rows N»`` one of N small objects.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

_HERE = Path(__file__).parent
_REPEAT = re.compile(r"«(\d+)\|([^»]*)»")
_MANY = re.compile(r"«(list|rows) (\d+)»")
_KEYS = {
    "name", "source", "reason", "expect", "method", "path", "url", "headers", "header_lines", "body", "body_hex",
    "document", "variables", "operation", "extensions", "hash", "settings", "schema", "only",
}  # fmt: skip
JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Case:
    """One request, and what is to become of it: ``code`` is None if the app gets it, byte for byte."""

    name: str
    source: str
    reason: str
    method: str
    path: str
    url: bytes
    headers: tuple[tuple[str, str], ...]
    body: bytes
    settings: dict[str, Any]
    schema: str | None  # its own, instead of the blog's
    only: str | None  # with or without a schema
    status: int
    code: str | None

    def __str__(self) -> str:
        return self.name


def load(kind: str) -> list[Case]:
    """All cases of ``attacks`` or ``ordinary``."""
    files = sorted((_HERE / kind).glob("*.yaml"))
    return [_case(row) for file in files for row in yaml.safe_load(file.read_text(encoding="utf-8"))]


def _case(row: dict[str, Any]) -> Case:
    assert row.keys() <= _KEYS, row.keys() - _KEYS
    assert all(isinstance(row[key], str) and row[key] for key in ("name", "source", "reason")), row
    expected = row.get("expect", {"status": 200, "code": None})
    method = row.get("method", "POST")
    lines = row.get("header_lines") or list(row.get("headers", JSON if method != "GET" else {}).items())
    return Case(
        name=row["name"],
        source=row["source"],
        reason=row["reason"],
        method=method,
        path=row.get("path", "/graphql"),
        url=_expanded(row.get("url", "")).encode(),
        headers=tuple((name, value) for name, value in lines),
        body=_body(row),
        settings=row.get("settings", {}),
        schema=row.get("schema"),
        only=row.get("only"),
        status=expected["status"],
        code=expected["code"],
    )


def _body(row: dict[str, Any]) -> bytes:
    if "body_hex" in row:
        return bytes.fromhex(row["body_hex"])
    if "body" in row:
        body = _expanded(row["body"])
        return (_with_true_hash(body) if row.get("hash") else body).encode()
    if "document" not in row:
        return b""
    envelope: dict[str, Any] = {"query": _expanded(row["document"])}
    if "operation" in row:
        envelope["operationName"] = row["operation"]
    if "variables" in row:
        envelope["variables"] = _value(row["variables"])
    if "extensions" in row:
        envelope["extensions"] = row["extensions"]
    return json.dumps(envelope, ensure_ascii=False).encode()


def _with_true_hash(body: str) -> str:
    envelope = json.loads(body)
    digest = sha256(envelope["query"].encode()).hexdigest()
    return body.replace(envelope["extensions"]["persistedQuery"]["sha256Hash"], digest)


def _expanded(text: str) -> str:
    return _REPEAT.sub(lambda found: _repeated(found[2], int(found[1])), text)


def _repeated(text: str, times: int) -> str:
    if "§" not in text:
        return text * times  # every worker of the suite loads all of it
    return "".join(_numbered(text, number) for number in range(times))


def _numbered(text: str, number: int) -> str:
    return text.replace("{§+1}", str(number + 1)).replace("§", str(number))


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_value(item) for item in value]
    if not isinstance(value, str):
        return value
    if many := _MANY.fullmatch(value):
        numbers = range(int(many[2]))
        return list(numbers) if many[1] == "list" else [{"id": n, "name": f"row {n}", "on": True} for n in numbers]
    return _expanded(value)

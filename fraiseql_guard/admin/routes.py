"""THE table of the operator's HTTP API. Requests are read, answered and described (OpenAPI) by it.

Paths stand under the admin path (/admin). A body is a JSON object of exactly these fields; ``query`` fields are query
parameters. ``result`` is the type that is answered as JSON with its fields' names; ``many`` answers
``{"items": [...]}`` of it. Errors are problem+json (RFC 9457) with ``detail``, ``field`` where one is to blame, and
``would_have_met`` where force is needed (409). Authorization: ``Bearer`` and the token; or the session cookie, then
with ``X-CSRF-Token`` on everything but GET.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fraiseql_guard.admin import calls
from fraiseql_guard.admin import fields as f
from fraiseql_guard.admin.asked import Asked
from fraiseql_guard.admin.fields import Field
from fraiseql_guard.admin.values import KeyUse, Session
from fraiseql_guard.operator.interface import (
    Action,
    Allowed,
    BlockPage,
    Document,
    Done,
    Lifting,
    LimitPage,
    Offender,
    Refusal,
    Status,
    Switch,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One thing to ask of the API. A template's one parameter is a whole segment: ``/refusals/{request_id}``."""

    method: str
    path: str
    does: str
    call: Callable[[Asked], Awaitable[Any]]
    result: type | None
    """None: a plain JSON object."""
    many: bool = False
    query: tuple[Field, ...] = ()
    body: tuple[Field, ...] = ()
    in_path: tuple[Field, ...] = ()
    rule: Mapping[str, Any] = field(default_factory=dict)
    """What holds between the fields of the body, in JSON Schema."""
    accepted: bool = False
    """Whether 202 is an answer as well, of the same form: it goes on."""
    errors: tuple[int, ...] = ()
    """Statuses that only this route answers, besides those of all: 400, 401, 405, 413, 415, 429, 503."""


_USER = Field("user_id", f.TEXT, "A verified user (the token's sub).")
_WHERE = Field("ip_address", f.ADDRESS, "An address or a network.")
_ISSUER = Field("issuer", f.TEXT, "The token's issuer, where users of one name are to be told apart.")
_TENANT = Field("tenant", f.TEXT, "The token's tenant, likewise.")
_WHO = (_USER, _WHERE, _ISSUER, _TENANT)
_ONE_ADDRESS = Field("ip_address", f.ONE_ADDRESS, "An address.")
_CALLER = (_USER, _ONE_ADDRESS, _ISSUER, _TENANT)
_SOMEBODY = {
    "anyOf": [{"required": ["user_id"]}, {"required": ["ip_address"]}],
    "dependentRequired": {"issuer": ["user_id"], "tenant": ["user_id"]},
}
"""Of the fields that say who is meant, one is needed."""
_ADDRESS = Field("ip_address", f.ADDRESS, "An address or a network.", required=True)
_LOGIN = Field("identifier", f.TEXT, "A login identifier.", required=True)
_LASTS = Field("duration_seconds", f.SECONDS, "How long it is to last; an hour if not given.")
_MUST_END = Field("duration_seconds", f.SECONDS, "How long it is to last.", required=True)
_REASON = Field("reason", f.REMARK, "Why, for colleagues and the audit.")
_COUNT = Field("count", f.COUNT, "How many at most.")
_LIMIT = Field("limit", f.COUNT, "How many at most; 100 if not given.")
_BEGINS = "Where the page begins: next_cursor of the one before."
_PAGE = (_LIMIT, Field("cursor", f.CURSOR, _BEGINS))
_FORCE = Field("force", f.FLAG, "Block although it meets a proxy, loopback, a wide network, you or the allow-listed.")


def _switch(path: str, what: str, name: Field, *values: Field, does: tuple[str, str, str]) -> tuple[Route, ...]:
    """Look at, bring about and take back one kind of fleet-wide override; what these three do."""
    kind = calls.SwitchKind(what, name.name, values[0].name if values else None)
    looks, brings_about, takes_back = does
    return (
        Route(
            method="GET", path=path, does=looks, call=kind.list, result=Switch, many=True
        ),
        Route(
            method="PUT", path=path, does=brings_about, call=kind.put, result=Done,
            body=(name, *values, _MUST_END, _REASON),
        ),
        Route(
            method="DELETE", path=path, does=takes_back, call=kind.delete, result=Done,
            query=(name,),
        ),
    )  # fmt: skip


ROUTES: Final[tuple[Route, ...]] = (
    # blocks and lockouts
    Route(
        method="GET", path="/blocks",
        does="Sanctions in force, page by page: operators' blocks of networks, then the longest first.",
        call=calls.blocks, result=BlockPage, query=(_LIMIT, Field("cursor", f.BLOCKS_CURSOR, _BEGINS)),
    ),
    Route(
        method="POST", path="/blocks", does="Refuse everything (403) from a user, an address or network, or both.",
        call=calls.block, result=Done, body=(*_WHO, _LASTS, _REASON, _FORCE),
        rule=_SOMEBODY, errors=(409,),
    ),
    Route(
        method="DELETE", path="/blocks", does="End every sanction of a user, an address or network, or both.",
        call=calls.lift, result=Done, query=_WHO,
    ),
    Route(
        method="POST", path="/lift",
        does="End all sanctions of an origin: automatic unless said otherwise. 202: it goes on in the background.",
        call=calls.lift_all, result=Done, body=(Field("origin", f.ORIGIN, "Whose sanctions end."),), accepted=True,
    ),
    Route(
        method="GET", path="/lift", does="How far the lifting of all sanctions of an origin is.",
        call=calls.lifting, result=Lifting, query=(Field("origin", f.ORIGIN, "Whose sanctions."),), errors=(404,),
    ),
    Route(
        method="GET", path="/lockouts",
        does="Login identifiers that are locked out, page by page; a page may be short before the last.",
        call=calls.lockouts, result=BlockPage, query=_PAGE,
    ),
    Route(
        method="DELETE", path="/lockouts", does="End the lockouts of a login identifier, everywhere or at an address.",
        call=calls.unlock, result=Done, query=(_LOGIN, _WHERE),
    ),
    # limits
    Route(
        method="GET", path="/rate-limits",
        does="Limits that operators have set, page by page; of one user or address if given.",
        call=calls.limits, result=LimitPage, query=(_USER, _ONE_ADDRESS, *_PAGE),
    ),
    Route(
        method="POST", path="/rate-limits", does="Raise or lower one user's or address's limit for a while.",
        call=calls.set_limit, result=Done,
        rule=_SOMEBODY,
        body=(*_CALLER, Field("limit", f.LIMIT, "The rate, as 1000/minute.", required=True), _LASTS),
    ),
    Route(
        method="DELETE", path="/rate-limits", does="End the override of a limit.",
        call=calls.clear_limit, result=Done, query=_CALLER,
    ),
    # the allow-list
    Route(
        method="GET", path="/allow-list", does="The whole allow-list: settings, file and operators'.",
        call=calls.allowed, result=Allowed, many=True,
    ),
    Route(
        method="POST", path="/allow-list", does="Do not count an address or network, never sanction it automatically.",
        call=calls.allow, result=Done,
        body=(_ADDRESS, Field("duration_seconds", f.SECONDS, "How long; a year if not given."), _REASON),
    ),
    Route(
        method="DELETE", path="/allow-list", does="Take an operator's entry off the allow-list.",
        call=calls.disallow, result=Done, query=(_ADDRESS,),
    ),
    # fleet-wide switches
    Route(
        method="GET", path="/switches", does="All fleet-wide overrides in force.",
        call=calls.switches, result=Switch, many=True,
    ),
    *_switch(
        "/mode", "mode", Field("protection", f.PROTECTION, "Which protection; all if not given."),
        Field("mode", f.MODE, "enforce, or monitor: only count and log.", required=True),
        does=(
            "Modes that operators have set.",
            "Refuse (enforce), or only count and log (monitor), on all workers for a while.",
            "Go back to the configured mode.",
        ),
    ),
    *_switch(
        "/settings", "setting", Field("variable", f.VARIABLE, "The variable.", required=True),
        Field("value", f.TEXT, "Its value, as in the environment.", required=True),
        does=(
            "Settings that operators have overridden.",
            "Override a limit or another number on all workers for a while.",
            "Go back to the configured value.",
        ),
    ),
    *_switch(
        "/document-blocks", "document", Field("document", f.DIGEST, "SHA-256 of the document's text.", required=True),
        does=(
            "Documents that operators have blocked.",
            "Refuse a document on all workers for a while.",
            "Take a document's block back.",
        ),
    ),
    *_switch(
        "/operation-blocks", "operation",
        Field("operation", f.OPERATION_NAME, "Name of the operation.", required=True),
        does=(
            "Operations that operators have blocked by name.",
            "Refuse operations of a name on all workers for a while.",
            "Take an operation's block back.",
        ),
    ),
    Route(
        method="POST", path="/gc", does="Make every worker collect its garbage now.",
        call=calls.collect_garbage, result=Done,
    ),
    Route(
        method="POST", path="/caches/clear", does="Make every worker forget its remembered documents and tokens.",
        call=calls.clear_caches, result=Done,
    ),
    # what is going on
    Route(
        method="GET", path="/status", does="Workers, switches, sanctions, and what deserves a look.",
        call=calls.status, result=Status,
    ),
    Route(
        method="GET", path="/offenders", does="Who was refused most in the last five minutes.",
        call=calls.offenders, result=Offender, many=True, query=(_COUNT,),
    ),
    Route(
        method="GET", path="/refusals", does="The last refusals, the newest first.",
        call=calls.refusals, result=Refusal, many=True, query=(_COUNT,),
    ),
    Route(
        method="GET", path="/refusals/{request_id}", does="Why one request was refused.",
        call=calls.why, result=Refusal, errors=(404,),
        in_path=(Field("request_id", f.REQUEST_ID, "The X-Request-ID of its answer.", required=True),),
    ),
    Route(
        method="GET", path="/actions", does="What operators have done lately, the newest first.",
        call=calls.actions, result=Action, many=True, query=(_COUNT,),
    ),
    Route(
        method="GET", path="/config", does="Every effective setting, secrets as stars.",
        call=calls.config, result=None, many=True,
    ),
    Route(
        method="GET", path="/keys", does="Which workers have which keys, and how many tokens each has verified.",
        call=calls.keys, result=KeyUse, many=True,
    ),
    # documents
    Route(
        method="GET", path="/documents", does="The trusted documents of the fleet and of this host's manifest.",
        call=calls.documents, result=Document, many=True,
    ),
    Route(
        method="POST", path="/documents", does="Trust a document on all workers.",
        call=calls.trust, result=Done, errors=(409,),
        body=(
            Field("text", f.DOCUMENT, "The document.", required=True),
            Field("id", f.TEXT, "The name that clients send for it; the SHA-256 of its text if not given."),
            Field("name", f.OPERATION_NAME, "The operation's name, if it is not to be its first one's."),
            Field("type", f.OPERATION_TYPE, "query, mutation or subscription, likewise."),
        ),
    ),
    Route(
        method="DELETE", path="/documents", does="Trust a document of the fleet no longer.",
        call=calls.distrust, result=Done, errors=(404,),
        query=(Field("id", f.TEXT, "The document's id.", required=True),),
    ),
    Route(
        method="GET", path="/documents/{query_hash}",
        does="The text behind a log line's query_hash, if the fleet trusts it or this worker remembers it.",
        call=calls.document, result=Document, errors=(404,),
        in_path=(Field("query_hash", f.QUERY_HASH, "It, or its first 12 digits or more.", required=True),),
    ),
    Route(
        method="GET", path="/openapi.json", does="This description.", call=calls.openapi, result=None,
    ),
    # sessions of the console
    Route(
        method="POST", path="/session", does="Exchange the token for a session cookie (HttpOnly, SameSite=Strict).",
        call=calls.open_session, result=Session,
    ),
    Route(
        method="GET", path="/session", does="Who acts, and the token that X-CSRF-Token must carry.",
        call=calls.session, result=Session,
    ),
    Route(
        method="DELETE", path="/session", does="Forget the session's cookie.",
        call=calls.close_session, result=Session,
    ),
)  # fmt: skip

"""The table of the operator's interface: each request of the HTTP API, and the method of the Operator that it calls.

The API reads, answers and describes (OpenAPI) requests by this table, and RemoteOperator sends them by it. The methods
are declared in interface.py, for users of Python; a test checks that both agree.

Paths stand under the admin path (/admin). A body is a JSON object of exactly these fields; ``query`` fields are query
parameters. ``result`` is the type that is answered as JSON with its fields' names; ``many`` answers
``{"items": [...]}`` of it. Errors are problem+json (RFC 9457) with ``detail``, ``field`` where one is to blame, and
``would_have_met`` where force is needed (409). Authorization: ``Bearer`` and the token; or the session cookie, then
with ``X-CSRF-Token`` on everything but GET.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from fraiseql_guard.core import signals as s
from fraiseql_guard.core.signals import Event
from fraiseql_guard.operations.operator import fields as f
from fraiseql_guard.operations.operator.fields import Field
from fraiseql_guard.operations.operator.interface import (
    Allowed,
    BlockPage,
    Document,
    Done,
    Lifting,
    LimitPage,
    Offender,
    Sockets,
    Status,
    Switch,
)
from fraiseql_guard.operations.operator.route import Route
from fraiseql_guard.operations.operator.shared_values import Action, Refusal
from fraiseql_guard.operations.tuning.result import TuningResult

USER = Field("user_id", f.TEXT, "A verified user (the token's sub).")
WHERE = Field("ip_address", f.ADDRESS, "An address or a network.")
_ONE_ADDRESS = Field("ip_address", f.ONE_ADDRESS, "An address.")
ISSUER = Field("issuer", f.TEXT, "The token's issuer, where users of one name are to be told apart.")
_TENANT = Field("tenant", f.TEXT, "The token's tenant, likewise.")
_WHO = tuple(replace(each, argument="target") for each in (USER, WHERE, ISSUER, _TENANT))
KEY = Field("key", f.KEY, "A key that limits count by, as log lines name it.")
_CALLER = tuple(replace(each, argument="target") for each in (USER, _ONE_ADDRESS, ISSUER, _TENANT, KEY))
_ONE_NEEDED = {
    "anyOf": [{"required": ["user_id"]}, {"required": ["ip_address"]}],
    "dependentRequired": {"issuer": ["user_id"], "tenant": ["user_id"]},
}
"""One of the fields that name a target is required."""
_CALLER_NEEDED = {**_ONE_NEEDED, "anyOf": [*_ONE_NEEDED["anyOf"], {"required": ["key"]}]}
_ADDRESS = replace(WHERE, required=True)
_LOGIN = Field("identifier", f.TEXT, "A login identifier.", required=True)
_LASTS = Field("duration_seconds", f.SECONDS, "How long it is to last; an hour if not given.")
_MUST_END = Field("duration_seconds", f.SECONDS, "How long it is to last.", required=True)
REASON = Field("reason", f.REMARK, "Why, for colleagues and the audit.")
_COUNT = Field("count", f.COUNT, "How many at most.")
_LIMIT = Field("limit", f.COUNT, "How many at most; 100 if not given.", argument="count")
_CURSOR = Field("cursor", f.CURSOR, "Where the page begins: next_cursor of the one before.")
_FORCE = Field("force", f.FLAG, "Block although it meets a proxy, loopback, a wide network, you or the allow-listed.")


def _switch(
    path: str, kind: str, name: Field, value: Field | None = None, *, does: tuple[str, str, str]
) -> tuple[Route, ...]:
    """The three routes of one kind of fleet-wide override: list, set and end it. ``does`` describes each."""
    looks, brings_about, takes_back = does
    named = replace(name, argument="name")
    valued = () if value is None else (replace(value, argument="value"),)
    return (
        Route(
            method="GET", path=path, does=looks,
            calls="switches", result=Switch, many=True, only={"kind": kind},
        ),
        Route(
            method="PUT", path=path, does=brings_about,
            calls="switch", fixed={"kind": kind}, event=s.ADMIN_SWITCH, result=Done,
            body=(named, *valued, _MUST_END, REASON),
        ),
        Route(
            method="DELETE", path=path, does=takes_back,
            calls="unswitch", fixed={"kind": kind}, event=s.ADMIN_UNSWITCH, result=Done, query=(named,),
        ),
    )  # fmt: skip


ROUTES: Final[tuple[Route, ...]] = (
    # blocks and lockouts
    Route(
        method="GET", path="/blocks",
        does="Sanctions in force, page by page: operators' blocks of networks, then the longest first.",
        calls="blocks_page", fixed={"logins": False}, result=BlockPage,
        query=(_LIMIT, replace(_CURSOR, form=f.BLOCKS_CURSOR)),
    ),
    Route(
        method="POST", path="/blocks", does="Refuse everything (403) from a user, an address or network, or both.",
        calls="block", event=s.ADMIN_BLOCK, caller=True, result=Done, errors=(409,),
        body=(*_WHO, _LASTS, REASON, _FORCE), rule=_ONE_NEEDED,
    ),
    Route(
        method="DELETE", path="/blocks", does="End every sanction of a user, an address or network, or both.",
        calls="lift", event=s.ADMIN_LIFT, result=Done, query=_WHO,
    ),
    Route(
        method="POST", path="/lift",
        does="End all sanctions of an origin: automatic unless said otherwise. 202: it goes on in the background.",
        calls="lift_all", event=s.ADMIN_LIFT_ALL, result=Done, accepted=True,
        body=(Field("origin", f.ORIGIN, "Whose sanctions end."),),
    ),
    Route(
        method="GET", path="/lift", does="How far the lifting of all sanctions of an origin is.",
        calls="lifting", result=Lifting, errors=(404,), query=(Field("origin", f.ORIGIN, "Whose sanctions."),),
    ),
    Route(
        method="GET", path="/lockouts",
        does="Login identifiers that are locked out, page by page; a page may be short before the last.",
        calls="blocks_page", fixed={"logins": True}, result=BlockPage, query=(_LIMIT, _CURSOR),
    ),
    Route(
        method="DELETE", path="/lockouts", does="End the lockouts of a login identifier, everywhere or at an address.",
        calls="unlock", event=s.ADMIN_UNLOCK, result=Done, query=(_LOGIN, WHERE),
    ),
    # limits
    Route(
        method="GET", path="/rate-limits",
        does="Limits that operators have set, page by page; of one user, address or key if given.",
        calls="limits_page", result=LimitPage, query=(USER, _ONE_ADDRESS, KEY, _LIMIT, _CURSOR),
    ),
    Route(
        method="POST", path="/rate-limits", does="Raise or lower one user's, address's or key's limit for a while.",
        calls="set_limit", event=s.ADMIN_LIMIT, result=Done, rule=_CALLER_NEEDED,
        body=(*_CALLER, Field("limit", f.LIMIT, "As 1000/minute or 500/minute+9000/day.", required=True), _LASTS),
    ),
    Route(
        method="DELETE", path="/rate-limits", does="End the override of a limit.",
        calls="clear_limit", event=s.ADMIN_LIMIT_CLEARED, result=Done, query=_CALLER,
    ),
    # the allow-list
    Route(
        method="GET", path="/allow-list", does="The whole allow-list: settings, file and operators'.",
        calls="allowed", result=Allowed, many=True,
    ),
    Route(
        method="POST", path="/allow-list", does="Do not count an address or network, never sanction it automatically.",
        calls="allow", event=s.ADMIN_ALLOW, result=Done,
        body=(_ADDRESS, replace(_LASTS, doc="How long; a year if not given."), REASON),
    ),
    Route(
        method="DELETE", path="/allow-list", does="Take an operator's entry off the allow-list.",
        calls="disallow", event=s.ADMIN_DISALLOW, result=Done, query=(_ADDRESS,),
    ),
    # fleet-wide switches
    Route(
        method="GET", path="/switches", does="All fleet-wide overrides in force.",
        calls="switches", result=Switch, many=True,
    ),
    *_switch(
        "/mode", "mode", Field("protection", f.PROTECTION, "Which protection; all if not given.", default="all"),
        Field("mode", f.MODE, "enforce, or monitor: only count and log.", required=True),
        does=(
            "Modes that operators have set.",
            "Refuse (enforce), or only count and log (monitor), on all workers for a while.",
            "Go back to the configured mode.",
        ),
    ),
    *_switch(
        "/settings", "setting", Field("variable", f.VARIABLE, "The variable.", required=True),
        Field("value", f.VALUE, "Its value, as in the environment.", required=True),
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
        calls="collect_garbage", event=s.ADMIN_GC, result=Done,
    ),
    Route(
        method="POST", path="/caches/clear", does="Make every worker forget its remembered documents and tokens.",
        calls="clear_caches", event=s.ADMIN_CLEAR_CACHES, result=Done,
    ),
    # live connections
    Route(
        method="GET", path="/sockets",
        does="WebSockets and streams: how many are open, and the 20 largest of each worker.",
        calls="sockets", result=Sockets, query=(USER, WHERE, _COUNT),
    ),
    Route(
        method="POST", path="/sockets/close",
        does="End the live connections of an id, a user, an address or network, or all; clients may come back.",
        calls="close_sockets", event=s.ADMIN_CLOSE_SOCKETS, result=Done,
        rule={"oneOf": [{"required": [each]} for each in ("id", "user_id", "ip_address", "all")]},
        body=(
            Field("id", f.TEXT, "The connection's id.", argument="connection_id"), USER, WHERE,
            Field("all", f.YES, "All of them.", argument="everything"),
            Field("code", f.CLOSING_CODE, "What WebSockets are closed with; 4503 if not given."),
        ),
    ),
    Route(
        method="POST", path="/sockets/drain", does="End all that is open on a worker, spread over half a minute.",
        calls="drain_sockets", event=s.ADMIN_DRAIN_SOCKETS, result=Done, errors=(404,),
        body=(Field("worker", f.TEXT, "The worker's id; all workers if not given."),),
    ),
    # documents
    Route(
        method="GET", path="/documents", does="The trusted documents of the fleet and of this host's manifest.",
        calls="documents", result=Document, many=True,
    ),
    Route(
        method="POST", path="/documents", does="Trust a document on all workers.",
        calls="trust", event=s.ADMIN_TRUST, result=Done, errors=(409,),
        body=tuple(replace(each, argument="documents") for each in (
            Field("text", f.DOCUMENT, "The document.", required=True),
            Field("id", f.TEXT, "The name that clients send for it; the SHA-256 of its text if not given."),
            Field("name", f.OPERATION_NAME, "The operation's name, if it is not to be its first one's."),
            Field("type", f.OPERATION_TYPE, "query, mutation or subscription, likewise."),
        )),
    ),
    Route(
        method="DELETE", path="/documents", does="Trust a document of the fleet no longer.",
        calls="distrust", event=s.ADMIN_DISTRUST, result=Done, errors=(404,),
        query=(Field("id", f.TEXT, "The document's id.", required=True, argument="id_"),),
    ),
    Route(
        method="GET", path="/documents/{query_hash}",
        does="The text behind a log line's query_hash, if the fleet trusts it or this worker remembers it.",
        calls="document", result=Document, errors=(404,),
        in_path=(Field("query_hash", f.QUERY_HASH, "It, or its first 12 digits or more.", required=True),),
    ),
    # what is going on
    Route(
        method="GET", path="/status", does="Workers, switches, sanctions, and what deserves a look.",
        calls="status", result=Status,
    ),
    Route(
        method="GET", path="/limits-advice",
        does="For each limit what requests ask for, what it refuses, and which value would fit.",
        calls="limits_advice", result=TuningResult,
    ),
    Route(
        method="GET", path="/offenders", does="Who was refused most in the last five minutes.",
        calls="offenders", result=Offender, many=True, query=(_COUNT,),
    ),
    Route(
        method="GET", path="/refusals", does="The last refusals, the newest first.",
        calls="refusals", result=Refusal, many=True, query=(_COUNT,),
    ),
    Route(
        method="GET", path="/refusals/{request_id}", does="Why one request was refused.",
        calls="why", result=Refusal, errors=(404,),
        in_path=(Field("request_id", f.REQUEST_ID, "The X-Request-ID of its answer.", required=True),),
    ),
    Route(
        method="GET", path="/actions", does="What operators have done lately, the newest first.",
        calls="actions", result=Action, many=True, query=(_COUNT,),
    ),
    Route(
        method="GET", path="/config", does="Every effective setting, secrets as stars.",
        calls="config", result=None, many=True,
    ),
)  # fmt: skip

CHANGES: Final[Mapping[str, Event]] = MappingProxyType(
    {route.calls: route.event for route in ROUTES if route.event is not None}
)
"""Methods of the Operator that change something, each with the event of its audit line, however it is called."""
BESIDE: Final[Mapping[str, Event]] = MappingProxyType(
    {
        "kill": s.ADMIN_KILL,
        "overrides file": s.ADMIN_OVERRIDES_FILE,
        "rules file": s.ADMIN_RULES_FILE,
        "manifest add": s.ADMIN_TRUST,
        "manifest remove": s.ADMIN_DISTRUST,
    }
)
"""Actions that change something without the Operator: in the database, or in a file that workers read."""

"""Panels of WebSockets and subscriptions."""

from __future__ import annotations

from typing import Final

from fraiseql_guard.core.settings import name_of
from fraiseql_guard.operations.runbooks.model import Panel, PanelRow, Query, Runbook
from fraiseql_guard.operations.runbooks.panel_forms import JOB, PODS, one

_LENGTHS: Final = f"sum by (job, le) (rate(fraiseql_guard_subscription_seconds_bucket{{{PODS}}}[5m]))"

SOCKETS: Final = PanelRow(
    runbook=Runbook.GUARD,
    title="WebSockets and subscriptions",
    panels=(
        one(
            "Open WebSockets",
            f"sum by (protocol) (fraiseql_guard_sockets{{{PODS}}})",
            "{{protocol}}",
            about="By subprotocol; other: sockets that carry something else than GraphQL.",
        ),
        one(
            "Part of the WebSockets that may be open",
            f"fraiseql:sockets:ratio{{{PODS}}}",
            "{{instance}}",
            unit="percentunit",
            threshold=0.8,
            about=f"Of {name_of('max_sockets')}. Callers without a verified user get half of them, and a quarter"
            " before their first message. The line is the threshold of GuardSocketsNearlyFull.",
        ),
        one(
            "WebSockets opened",
            f"fraiseql:sockets_opened:rate{{{JOB}}}",
            unit="ops",
            about="A peak is a deployment: clients come back. If it lasts, something ends the sockets again and again.",
        ),
        one(
            "WebSockets closed, by reason",
            f"sum by (reason) (rate(fraiseql_guard_sockets_closed_total{{{PODS}}}[5m]))",
            "{{reason}}",
            unit="ops",
            about="client and app are ordinary ends; with any other reason, the guard closed them.",
        ),
        one(
            "Open subscriptions",
            f"sum by (transport) (fraiseql_guard_subscriptions{{{PODS}}})",
            "{{transport}}",
            about="By transport of their events: WebSockets, server-sent events, multipart answers.",
        ),
        one(
            "Events of subscriptions",
            f"sum by (job) (rate(fraiseql_guard_subscription_events_total{{{PODS}}}[5m]))",
            unit="ops",
            about="Events that were passed on to clients.",
        ),
        one(
            "Messages over WebSockets",
            f"sum by (direction) (rate(fraiseql_guard_socket_messages_total{{{PODS}}}[5m]))",
            "{{direction}}",
            unit="ops",
            about="Of sockets that speak GraphQL: in is from clients, out to them.",
        ),
        Panel(
            title="How long subscriptions are open",
            queries=(
                Query(f"histogram_quantile(0.5, {_LENGTHS})", "half of {{job}}"),
                Query(f"histogram_quantile(0.95, {_LENGTHS})", "95 % of {{job}}"),
            ),
            unit="s",
            about="Of subscriptions that have ended. Short times show a page that subscribes anew with every click.",
        ),
    ),
)

"""Every setting: its variable, default, accepted forms and documentation, in one table, read into one frozen value.

Precedence: override in force, keyword argument, environment variable, default. A bad value stops the start with a
SettingsError that names the variable, the value (never a secret's), what is accepted, and an example.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import IPv6Network
from pathlib import Path
from typing import Any, Final

from fraiseql_guard.core import cost_forms, key_forms, limit_key, network_forms, parsing, rule_forms
from fraiseql_guard.core.clocks import Clock
from fraiseql_guard.core.fraiseql_variables import DATABASE_FILE_VARIABLE, FRAISEQL_VARIABLES
from fraiseql_guard.core.limit_key import RateLimitKey
from fraiseql_guard.core.rules import Rules
from fraiseql_guard.core.sanction import Escalation
from fraiseql_guard.core.secret import Secret
from fraiseql_guard.core.signals import LIMITS, PolicyName, Protection
from fraiseql_guard.core.token_buckets import Burst, Limit, Rate
from fraiseql_guard.core.value_forms import (
    ACTOR,
    ADMIN_TOKENS,
    BYTES,
    COUNT,
    COUNT_OR_ZERO,
    JWT_SECRET,
    MODE,
    NAMES,
    NETWORKS,
    ONE_WINDOW,
    PATHS,
    PERCENT,
    PUBLIC_KEY,
    RATE,
    REDIS_URL,
    SECONDS,
    SWITCH,
    TEXT,
    TOKEN,
)
from fraiseql_guard.core.variables import (
    SettingsError,
    SettingVariable,
    ValueForm,
    read_values,
    setting,
    table_of,
    unknown_variables,
)

__all__ = ["Mode", "Settings", "SettingsError"]


class Mode(StrEnum):
    """The mode of a protection: its refusals are answered, its refusals are only counted, or it is not mounted."""

    ENFORCE = "enforce"
    MONITOR = "monitor"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be configured. Build it with :meth:`load`."""

    # general
    mode: str = setting(
        MODE,
        "enforce",
        "enforce refuses; monitor only counts and logs what would be refused; off decides nothing, as if it were not "
        "mounted (for tests, and never at run time).",
        changeable=True,
    )
    mode_rate_limit: str | None = setting(
        MODE, None, "Mode of the rate limits alone; unset: the general mode.", changeable=True
    )
    mode_auth: str | None = setting(
        MODE, None, "Mode of the authentication alone; unset: the general mode.", changeable=True
    )
    mode_query_limits: str | None = setting(
        MODE, None, "Mode of the query limits alone; unset: the general mode.", changeable=True
    )
    mode_timeout: str | None = setting(
        MODE, None, "Mode of the query timeout alone; unset: the general mode.", changeable=True
    )
    environment: str | None = setting(
        TEXT, None, "FraiseQL's environment; development allows introspection.", name="FRAISEQL_ENVIRONMENT"
    )
    graphql_paths: tuple[str, ...] = setting(PATHS, "/graphql", "Paths that serve GraphQL, and all paths under them.")
    cors_origins: tuple[str, ...] = setting(
        ValueForm(parsing.origins, "a list of origins, or *", "https://app.example.org"),
        "",
        "Origins whose pages may read the guard's refusals (CORS headers), and whose preflights no rate limit counts.",
    )
    workers: int | None = setting(
        COUNT,
        None,
        "Number of worker processes that share the store, on all hosts; used while Redis cannot tell it. Unset: "
        "WEB_CONCURRENCY, else 1.",
    )
    overrides_file: Path | None = setting(
        ValueForm(parsing.file_path, "a path", "/etc/fraiseql/overrides.yml"),
        None,
        "YAML file of overrides: modes, settings, blocks, documents and operations; read again when it changes.",
    )
    refusal_template_file: Path | None = setting(
        ValueForm(parsing.file_path, "a path", "/etc/fraiseql/refusals.json"),
        None,
        "JSON file with bodies for refusals, sent in place of the guard's own; its texts may hold placeholders like "
        "{code}.",
    )

    # the caller's address
    trusted_proxies: tuple[network_forms.TrustedPeer, ...] = setting(
        ValueForm(network_forms.trusted_peers, "a list of addresses, networks and unix", "10.0.0.0/8,unix"),
        "",
        "Proxies whose forwarding header is believed.",
    )
    forwarded_header: str = setting(
        ValueForm(parsing.header_name, "the name of a request header", "forwarded"),
        "x-forwarded-for",
        "Header in which trusted proxies name the client: x-forwarded-for, forwarded, or another that holds a "
        "single address.",
    )
    proxy_count: int | None = setting(
        ValueForm(parsing.integer(1, 20), "a whole number from 1 to 20", "2"),
        None,
        "Number of proxies in front, where their networks are not known (instead of trusted proxies). With 2, the "
        "client is the second address from the right of the forwarding header.",
    )
    ipv6_prefix: int = setting(
        ValueForm(parsing.integer(48, 128), "a prefix length from 48 to 128", "56"),
        "64",
        "Length of the IPv6 prefix that counts as one caller; the /64, /56 and /48 around it have wider limits.",
    )
    nat64_prefixes: tuple[IPv6Network, ...] = setting(
        ValueForm(network_forms.translator_prefixes, "a list of IPv6 prefixes", "2001:db8:64::/96"),
        "",
        "Prefixes of NAT64 translators, besides 64:ff9b::/96 and 64:ff9b:1::/96: a caller under one is the IPv4 "
        "address that it contains.",
    )

    # rate limits
    rate_limit_default: Rate = setting(
        RATE, "100/minute", "Rate of an anonymous address.", name="FRAISEQL_RATE_LIMIT_DEFAULT", changeable=True
    )
    rate_limit_authenticated: Rate | None = setting(
        RATE, "500/minute", "Rate of a verified user.", name="FRAISEQL_RATE_LIMIT_AUTHENTICATED", changeable=True
    )
    rate_limit_graphql: Rate | None = setting(
        RATE,
        None,
        "Additional rate on GraphQL paths; unset: none.",
        name="FRAISEQL_RATE_LIMIT_GRAPHQL",
        changeable=True,
    )
    rate_limit_graphql_query: Rate | None = setting(
        RATE,
        None,
        "Additional rate of GraphQL queries; unset: none.",
        name="FRAISEQL_RATE_LIMIT_GRAPHQL_QUERY",
        changeable=True,
    )
    rate_limit_graphql_mutation: Rate | None = setting(
        RATE,
        None,
        "Additional rate of GraphQL mutations; unset: none.",
        name="FRAISEQL_RATE_LIMIT_GRAPHQL_MUTATION",
        changeable=True,
    )
    rate_limit_key: RateLimitKey = setting(
        ValueForm(
            limit_key.rate_limit_key,
            "user, address, tenant, header:NAME, claim:NAME, or several of them with + between",
            "tenant+header:X-API-Key",
        ),
        "user",
        "What rate limits count by: user (else the address), address, tenant, a header, a claim, or several "
        "together. A request that lacks the value is counted by user, else by address.",
    )
    rate_limit_burst: Burst = setting(
        ValueForm(parsing.burst, "a whole number of requests, or a share of the rate from 0% to 1000%", "20%"),
        "20%",
        "Requests that a full bucket holds beyond its rate: a number, or a share of the rate, rounded down. Of "
        "several windows only the shortest has a burst.",
        name="FRAISEQL_RATE_LIMIT_BURST",
        changeable=True,
    )
    rate_limit_public: Rate = setting(
        RATE, "20/minute", "Rate of public operations (one token for each root field).", changeable=True
    )
    rate_limit_wait_ms: int = setting(
        ValueForm(parsing.integer(0, 10_000), "milliseconds from 0 to 10000", "500"),
        "0",
        "Longest time that a request waits for its rate limit instead of being refused at once; 0: no request waits.",
        changeable=True,
    )
    rate_limit_waiting: int = setting(
        COUNT,
        "100",
        "Most requests that wait for a rate limit at the same time, in a process; one caller may have a quarter of "
        "them.",
        changeable=True,
    )
    rate_limit_count: str = setting(
        ValueForm(parsing.choice("all", "failures"), "all or failures", "failures"),
        "all",
        "Which requests count: all, or failures alone (a request that succeeds gets its tokens back after its answer).",
        changeable=True,
    )
    rate_limit_not_modified: str = setting(
        ValueForm(parsing.choice("count", "refund"), "count or refund", "refund"),
        "count",
        "Whether a request that is answered 304 (Not Modified) counts (count), or gets its tokens back (refund).",
        changeable=True,
    )
    rate_limit_headers: tuple[str, ...] = setting(
        ValueForm(parsing.rate_limit_headers, "standard, legacy, both, or none", "standard"),
        "standard,legacy",
        "Headers that tell clients what is left: RateLimit and RateLimit-Policy (standard), X-RateLimit-* (legacy), "
        "or none. Retry-After stays in any case.",
        changeable=True,
    )
    expose_limits: bool = setting(
        SWITCH,
        "true",
        "Whether answers show clients the limits: their numbers, what exceeded them, and which setting decides. If "
        "false, a refusal has only its code and when to try again.",
        changeable=True,
    )
    max_in_flight: int = setting(
        COUNT, "10", "Most operations of one caller that are at work at the same time, in a process.", changeable=True
    )
    database_pool_size: int | None = setting(
        COUNT,
        None,
        "Size of the app's database pool: operations may use all but 2 of its connections, those of anonymous "
        "callers half. Unset: the size that the pool itself reports (FraiseQL), else no such bound.",
        changeable=True,
    )
    shed_above_memory_percent: int | None = setting(
        PERCENT,
        None,
        "Last resort: while memory use is above this, GraphQL queries are refused (503) and mutations pass. Unset: "
        "never.",
    )
    tiers: Mapping[str, Rate] = setting(
        ValueForm(
            cost_forms.tiers, "a list of name=rate, windows joined by +", "free=50/minute,pro=500/minute+9000/day"
        ),
        "",
        "Rates by tier; the rate of a user's tier replaces all other rates of that user.",
        changeable=True,
    )
    tier_claim: str = setting(TEXT, "tier", "Claim of the token that names the user's tier.")
    allow_list: tuple[parsing.Network, ...] = setting(
        NETWORKS, "", "Addresses and networks that are not counted and never blocked automatically."
    )
    allow_list_file: Path | None = setting(
        ValueForm(parsing.file_path, "a path", "/etc/fraiseql/allow-list.yml"),
        None,
        "YAML list of ip, reason and expires_at that is added to the allow-list; read again when it changes.",
    )
    exempt_paths: tuple[str, ...] = setting(
        PATHS,
        "/health,/health/detailed,/ready,/metrics",
        "Paths without rate limits for private peers; requests to them count as probes, which no ratio includes.",
    )

    # rules
    rules_file: Path | None = setting(
        ValueForm(parsing.file_path, "a path", "/etc/fraiseql/rules.yml"),
        None,
        "YAML of rules by path, method, operation, root field and tier: rates, costs, limits, times and modes; read "
        "again when it changes.",
    )
    rules: Rules = setting(
        ValueForm(rule_forms.rules_of, rule_forms.ACCEPTED, rule_forms.EXAMPLE),
        "",
        "The rules themselves (at most 64 KiB) instead of a file. Rules that are set at run time replace those of "
        "the file.",
        changeable=True,
    )

    # the store
    redis_url: Secret | None = setting(
        REDIS_URL,
        None,
        "Redis that holds limits and sanctions for all workers; without it each process counts alone.",
        name="FRAISEQL_REDIS_URL",
    )
    namespace: str = setting(
        ValueForm(parsing.namespace, "up to 64 letters, digits, dots, dashes and underscores", "fg-prod"),
        "fg",
        "Prefix of all keys in Redis: apps and environments with different prefixes share nothing.",
    )
    on_store_failure: str = setting(
        ValueForm(parsing.choice("local", "open", "closed"), "local, open or closed", "local"),
        "local",
        "While the store does not answer: local counts in each worker, at its share of each limit; open admits "
        "everything; closed refuses with 503.",
    )
    store_timeout_ms: int = setting(
        ValueForm(parsing.integer(1, 10_000), "milliseconds from 1 to 10000", "50"),
        "50",
        "Longest wait for an answer of the store.",
    )

    # authentication
    jwt_secret: Secret | None = setting(
        JWT_SECRET, None, "Key that tokens are signed with (HMAC), of 32 bytes or more.", name="FRAISEQL_JWT_SECRET"
    )
    jwt_secret_old: Secret | None = setting(
        JWT_SECRET, None, "Previous key, still accepted during a rotation.", name="FRAISEQL_JWT_SECRET_OLD"
    )
    jwt_secret_new: Secret | None = setting(
        JWT_SECRET, None, "Next key, accepted ahead of a rotation.", name="FRAISEQL_JWT_SECRET_NEW"
    )
    jwt_public_key: Secret | None = setting(
        PUBLIC_KEY, None, "Public key (PEM) of the tokens' issuer: RSA, EC, Ed25519."
    )
    jwt_public_key_old: Secret | None = setting(PUBLIC_KEY, None, "Previous public key, still accepted.")
    jwt_public_key_new: Secret | None = setting(PUBLIC_KEY, None, "Next public key, accepted ahead of a rotation.")
    jwks_file: Path | None = setting(
        ValueForm(parsing.file_path, "a path", "/etc/fraiseql/jwks.json"),
        None,
        "File of a JWK set with public keys; read again when it changes.",
    )
    jwks_url: str | None = setting(
        ValueForm(
            key_forms.https_url,
            "an https address, or http on this machine",
            "https://id.example.org/.well-known/jwks.json",
        ),
        None,
        "Address of a JWK set with public keys, fetched before it is needed. While it cannot be fetched, the last "
        "good set is used for a day.",
    )
    jwks_refresh_seconds: int = setting(COUNT, "300", "Age at which the fetched JWK set is fetched again.")
    jwt_algorithms: tuple[str, ...] | None = setting(
        ValueForm(key_forms.algorithms, f"a list of {', '.join(key_forms.ALGORITHMS)}", "RS256"),
        None,
        "Accepted signature algorithms; unset: HS256 for secrets, and for each public key those that fit it.",
    )
    jwt_issuer: str | None = setting(TEXT, None, "Required issuer (iss); unset: any.")
    jwt_audience: str | None = setting(TEXT, None, "Required audience (aud); unset: any.")
    jwt_leeway_seconds: int = setting(COUNT_OR_ZERO, "0", "Clock difference allowed for exp and nbf.")
    tenant_claim: str | None = setting(TEXT, None, "Claim that, with issuer and sub, tells users apart.")
    token_grace_seconds: int = setting(COUNT_OR_ZERO, "0", "How long after its expiry a token is still accepted.")
    max_token_lifetime_seconds: int = setting(COUNT, "86400", "Longest remaining lifetime that a token may have (exp).")
    token_lifetime_seconds: int = setting(
        COUNT, "3600", "Lifetime of the tokens that the token helper makes.", name="FRAISEQL_TOKEN_LIFETIME_SECONDS"
    )
    refresh_token_lifetime_seconds: int = setting(
        COUNT,
        "86400",
        "Lifetime of the refresh tokens that the token helper makes.",
        name="FRAISEQL_REFRESH_TOKEN_LIFETIME_SECONDS",
    )
    api_keys_file: Path | None = setting(
        ValueForm(parsing.file_path, "a path", "/etc/fraiseql/api-keys.yml"),
        None,
        "YAML list of API keys, each with sha256 and name, optionally tier, scopes, tenant, expires_at and "
        "disabled; read again when it changes. fraiseql-guard api-key makes entries.",
    )
    api_key_header: str = setting(
        ValueForm(parsing.credential_header, "the name of a request header of its own", "x-api-key"),
        "x-api-key",
        "Header that carries an API key; Authorization may too, as Bearer.",
    )
    token_cookie: str | None = setting(
        ValueForm(parsing.cookie_name, "the name of a cookie", "__Host-token"),
        None,
        "Cookie that may hold the token of requests from the app's own origin or the CORS origins.",
    )
    auth_required: bool = setting(SWITCH, "true", "Whether guarded paths need a token once a key is configured.")
    auth_paths: tuple[str, ...] = setting(
        ValueForm(parsing.optional_paths, "a list of paths that begin with /", "/api"),
        "",
        "More paths that need a token.",
    )
    public_operations: tuple[str, ...] = setting(NAMES, "", "Root fields that may be called without a token.")

    user_status_timeout_ms: int = setting(
        ValueForm(parsing.integer(1, 60_000), "milliseconds from 1 to 60000", "1000"),
        "1000",
        "Longest wait for the app's answer whether a user is still active (Guard(app, user_status=...)).",
    )
    user_status_memory_seconds: int = setting(
        COUNT_OR_ZERO, "0", "How long that answer is remembered; 0: the app is asked with every request."
    )

    # query limits
    max_query_depth: int = setting(
        COUNT, "10", "Deepest nesting of fields.", name="FRAISEQL_MAX_QUERY_DEPTH", changeable=True
    )
    max_query_complexity: int = setting(
        COUNT,
        "1000",
        "Highest complexity of an operation, in points.",
        name="FRAISEQL_MAX_QUERY_COMPLEXITY",
        changeable=True,
    )
    max_list_size: int = setting(
        COUNT, "1000", "Largest list that an operation may ask for.", name="FRAISEQL_MAX_LIST_SIZE", changeable=True
    )
    max_offset: int = setting(COUNT_OR_ZERO, "10000", "Farthest offset that an operation may ask for.", changeable=True)
    edges_node_one_level: bool = setting(
        SWITCH,
        "true",
        "Whether edges and the node below it (Relay's connections) are one level of the depth.",
        changeable=True,
    )
    max_aliases: int = setting(
        COUNT_OR_ZERO,
        "30",
        "Most aliases that ask for a field of the same object again; fragments are followed.",
        changeable=True,
    )
    max_root_fields: int = setting(COUNT, "20", "Most root fields of an operation.", changeable=True)
    max_duplicate_keys: int = setting(
        COUNT, "50", "Most repetitions of one response key in an object's selection.", changeable=True
    )
    max_directives: int = setting(COUNT_OR_ZERO, "50", "Most directives in a document.", changeable=True)
    max_operations: int = setting(COUNT, "10", "Most operations in a document.", changeable=True)
    max_fragments: int = setting(COUNT_OR_ZERO, "50", "Most fragments in a document.", changeable=True)
    max_tokens: int = setting(COUNT, "2000", "Most lexical tokens in a document.", changeable=True)
    max_query_chars: int = setting(COUNT, "50000", "Most characters in a document.", changeable=True)
    max_literal_depth: int = setting(COUNT, "20", "Deepest nesting of a value in a document.", changeable=True)
    max_variables_depth: int = setting(COUNT, "20", "Deepest nesting of the variables.", changeable=True)
    max_variables_nodes: int = setting(COUNT, "10000", "Most values in the variables.", changeable=True)
    monitor_limits: tuple[str, ...] = setting(
        ValueForm(parsing.subset(*LIMITS), "a list of limits by their options", "max_aliases,max_query_depth"),
        "",
        "Limits that only count and log what exceeds them, while the others refuse.",
        changeable=True,
    )
    list_multiplier: int = setting(COUNT, "10", "Assumed size of a list whose size is not known.", changeable=True)
    field_costs: Mapping[str, int] = setting(
        ValueForm(cost_forms.field_costs, "a list of Type.field=points", "User.posts=10,Post.comments=10"),
        "",
        "Points of single fields. All others: 1 for a field with children or at the root, 0 for a leaf.",
        changeable=True,
    )
    list_fields: tuple[str, ...] = setting(
        ValueForm(cost_forms.list_fields, "a list of field or Type.field", "followers,User.friends"),
        "",
        "Fields that return lists, where no schema says so.",
        changeable=True,
    )
    slicing_arguments: tuple[str, ...] = setting(
        NAMES,
        "limit,first,last,take,top,count,size,pageSize,perPage",
        "Arguments that say how large a list is.",
        changeable=True,
    )
    list_arguments: tuple[str, ...] = setting(
        ValueForm(
            cost_forms.list_arguments,
            "a list of argument, field.argument or Type.field.argument",
            "nodes.ids,users.ids",
        ),
        "_entities.representations",
        "List arguments that bring one result for each of their items: their length is the size of the result.",
        changeable=True,
    )
    filter_arguments: tuple[str, ...] = setting(
        NAMES,
        "where,filter,filters,by,having,condition,conditions,criteria,match,range,order,sort,zone,timezone,tz",
        "Words in the names of arguments and input fields (where, orderBy, user_filter) that are not searched for "
        "list sizes.",
        changeable=True,
    )
    unsliced_lists: str = setting(
        ValueForm(parsing.choice("assume", "refuse"), "assume or refuse", "refuse"),
        "assume",
        "Lists without a slicing argument: assume the list multiplier, or refuse (needs a schema).",
        changeable=True,
    )
    unknown_fields: str = setting(
        ValueForm(parsing.choice("refuse", "pass"), "refuse or pass", "pass"),
        "refuse",
        "Fields that the schema lacks: pass them on, or refuse them, if the guard has the same schema object that "
        "the app runs.",
        changeable=True,
    )
    introspection: str | None = setting(
        ValueForm(parsing.choice("allow", "deny", "authenticated"), "allow, deny or authenticated", "authenticated"),
        None,
        "Who may introspect: allow (all callers), authenticated (verified users) or deny; unset: allow in development, "
        "else deny.",
        changeable=True,
    )
    introspection_max_list_depth: int = setting(
        COUNT, "3", "Deepest nesting of lists in an introspection.", changeable=True
    )
    trusted_documents: str = setting(
        ValueForm(parsing.choice("off", "allow", "require"), "off, allow or require", "require"),
        "off",
        "Trusted documents, of the manifest and the store: allow exempts them from the static limits, require "
        "refuses all others; off: there are none.",
    )
    trusted_documents_file: Path | None = setting(
        ValueForm(parsing.file_path, "a path", "persisted-queries.json"),
        None,
        "Manifest of trusted documents (Relay's or Apollo's form); read again when it changes. Documents that the "
        "store holds for the whole fleet are trusted as well.",
    )
    apq: bool = setting(SWITCH, "false", "Whether clients may register documents by their hash (Apollo's APQ).")
    cost_budgets: Mapping[str, int] = setting(
        ValueForm(cost_forms.cost_budgets, "a list of tier=points", "free=1000,pro=10000,default=500"),
        "",
        "Complexity points per hour by tier; default is for all other callers, anonymous addresses included. Unset: "
        "no budget.",
        changeable=True,
    )
    cost_header: str | None = setting(
        ValueForm(parsing.header_name, "the name of a response header", "x-graphql-cost"),
        None,
        "Header in which the app's answer says what its operation really cost, in points: the cost budget is "
        "corrected by the difference from the estimate.",
    )
    hide_cost_header: bool = setting(SWITCH, "true", "Whether the cost header is taken out of the answer.")
    cost_extension: str | None = setting(
        ValueForm(parsing.dotted_path, "keys joined by dots", "cost.actualQueryCost"),
        None,
        "Place of that cost in an answer's extensions; the header has priority.",
    )
    cost_in_response: bool = setting(
        SWITCH, "false", "Whether answers carry their cost in extensions.cost.", changeable=True
    )
    hide_suggestions: bool | None = setting(
        SWITCH,
        None,
        "Whether 'Did you mean' is taken out of the app's errors; unset: true, but false in development.",
        changeable=True,
    )
    batching: bool = setting(SWITCH, "false", "Whether an array of operations is accepted.", changeable=True)
    multipart: bool = setting(
        SWITCH, "false", "Whether uploads (GraphQL multipart requests) are accepted, up to max_request_bytes."
    )
    max_batch_size: int = setting(COUNT, "10", "Most operations in a batch.", changeable=True)

    # bodies
    max_body_bytes: int = setting(BYTES, "1048576", "Largest body on GraphQL paths.", changeable=True)
    max_request_bytes: int = setting(
        BYTES, "10485760", "Largest body on other paths, and of an upload.", changeable=True
    )
    max_buffered_bytes: int = setting(
        BYTES,
        "67108864",
        "Most memory for the request bodies that a process holds at one time; one caller may take an eighth of it, "
        "and always one body.",
    )
    body_timeout_seconds: float = setting(
        SECONDS, "10", "Longest time to read a body on GraphQL paths.", changeable=True
    )
    body_idle_seconds: float = setting(SECONDS, "30", "Longest silence inside a body on other paths.", changeable=True)

    # WebSockets and streams
    sockets: str = setting(
        ValueForm(parsing.choice("guard", "refuse"), "guard or refuse", "refuse"),
        "guard",
        "WebSockets on GraphQL paths: guard decides about every operation on them, refuse accepts none.",
        changeable=True,
    )
    socket_protocols: tuple[str, ...] = setting(
        ValueForm(
            parsing.some_of("graphql-transport-ws", "graphql-ws"),
            "a list of graphql-transport-ws, graphql-ws",
            "graphql-transport-ws",
        ),
        "graphql-transport-ws,graphql-ws",
        "Subprotocols that are accepted, the preferred one first.",
    )
    socket_origins: tuple[str, ...] = setting(
        ValueForm(parsing.origins, "a list of origins, or *", "https://app.example.org"),
        "",
        "Origins whose pages may open WebSockets, besides the app's own and the CORS origins.",
    )
    socket_token_keys: tuple[str, ...] = setting(
        ValueForm(parsing.keys, "a list of keys", "authorization,jwt"),
        "authorization,token,authToken,accessToken",
        "Keys of connection_init's payload (or of headers in it) that hold the token, in upper or lower case.",
    )
    socket_token_parameter: str | None = setting(
        TEXT, None, "Parameter of the query string that may hold a WebSocket's token."
    )
    rate_limit_sockets: Rate = setting(
        RATE,
        "60/minute",
        "Rate at which a caller may open WebSockets; the burst is as many again, because all clients of an office "
        "come back together after a deployment.",
        changeable=True,
    )
    max_sockets_per_caller: int = setting(
        COUNT, "20", "Most open WebSockets of one caller, in a process.", changeable=True
    )
    max_sockets: int = setting(
        COUNT,
        "2000",
        "Most open WebSockets of a process; at most half of them without a verified user, a quarter before "
        "connection_init.",
        changeable=True,
    )
    max_subscriptions_per_socket: int = setting(COUNT, "50", "Most open operations on one WebSocket.", changeable=True)
    max_subscriptions_per_caller: int = setting(
        COUNT,
        "100",
        "Most open subscriptions of one caller, over WebSockets, SSE and multipart together, in a process.",
        changeable=True,
    )
    max_subscriptions: int = setting(
        COUNT,
        "5000",
        "Most open subscriptions of a process; at most half of them by anonymous callers.",
        changeable=True,
    )
    max_message_bytes: int = setting(BYTES, "131072", "Largest message of a client over a WebSocket.", changeable=True)
    socket_messages: Limit = setting(
        ONE_WINDOW,
        "20/second",
        "Rate of a client's messages over one WebSocket, of all kinds; the burst is five times as many.",
        changeable=True,
    )
    socket_init_seconds: float = setting(
        SECONDS, "10", "Longest time from the opening of a WebSocket to its connection_init.", changeable=True
    )
    socket_idle_seconds: float = setting(
        SECONDS, "300", "Longest time of a WebSocket without an operation and without a message.", changeable=True
    )
    socket_max_seconds: float = setting(
        SECONDS, "86400", "Longest life of a WebSocket; each gets up to a tenth less, at random.", changeable=True
    )
    socket_ping_seconds: int = setting(
        COUNT_OR_ZERO,
        "30",
        "Silence of a graphql-transport-ws client after which it is pinged; without an answer within 10 s the "
        "WebSocket is closed. 0: never.",
        changeable=True,
    )
    socket_send_seconds: float = setting(
        SECONDS, "10", "Longest time that a client may take to accept one message.", changeable=True
    )
    stream_max_seconds: float = setting(
        SECONDS, "300", "Longest time of a query whose answer is streamed (@defer, @stream).", changeable=True
    )
    stream_heartbeat_seconds: float = setting(
        SECONDS,
        "15",
        "Silence of a subscription over SSE or multipart after which a heartbeat is sent.",
        changeable=True,
    )

    # the deadline
    query_timeout: float = setting(
        SECONDS,
        "30",
        "Longest time of a GraphQL request, in seconds (FraiseQL: whole ones).",
        name="FRAISEQL_QUERY_TIMEOUT",
        changeable=True,
    )
    mutation_timeout: float | None = setting(
        SECONDS, None, "Longest time of a mutation, in seconds; unset: the query timeout.", changeable=True
    )
    request_timeout: float | None = setting(
        SECONDS, None, "Longest time of a request on other paths, in seconds; unset: no limit.", changeable=True
    )
    stream_idle_seconds: float = setting(SECONDS, "60", "Longest silence inside a streamed answer.", changeable=True)
    cancel_mutations: bool = setting(
        SWITCH, "false", "Whether a client that leaves cancels its mutation too.", changeable=True
    )
    slow_query_seconds: float = setting(
        SECONDS, "5", "Duration from which a database statement is logged as slow.", changeable=True
    )

    # offences and sanctions
    rate_limit_abuse_offences: int = setting(COUNT, "50", "Rate limit violations that bring a block.", changeable=True)
    rate_limit_abuse_window_seconds: int = setting(
        COUNT, "300", "Window in which those violations count.", changeable=True
    )
    rate_limit_abuse_block_seconds: int = setting(COUNT, "300", "Length of that block.", changeable=True)
    brute_force_offences: int = setting(COUNT, "15", "Failed tokens of an address that bring a block.", changeable=True)
    brute_force_window_seconds: int = setting(COUNT, "300", "Window in which those failures count.", changeable=True)
    brute_force_block_seconds: int = setting(COUNT, "300", "Length of that block.", changeable=True)
    dos_offences: int = setting(COUNT, "10", "Expensive queries that bring a block.", changeable=True)
    dos_window_seconds: int = setting(COUNT, "60", "Window in which those queries count.", changeable=True)
    dos_block_seconds: int = setting(COUNT, "300", "Length of that block.", changeable=True)
    lockout_offences: int = setting(
        COUNT,
        "5",
        "Failed logins of one identifier at one address, as the app reports them, that bring a lockout.",
        changeable=True,
    )
    lockout_window_seconds: int = setting(COUNT, "300", "Window in which those logins count.", changeable=True)
    lockout_seconds: int = setting(COUNT, "1800", "Length of that lockout.", changeable=True)

    # the operator's HTTP API
    admin_tokens: Secret | None = setting(
        ADMIN_TOKENS,
        None,
        "Tokens of the operator's HTTP API, by actor: name=token, each of 32 bytes or more. With neither tokens nor "
        "a scope there is no API, and its path belongs to the app.",
    )
    admin_scope: str | None = setting(
        ValueForm(parsing.scope, "the name of a scope", "guard:operate"),
        None,
        "Scope that makes the bearer of a verified token an operator.",
    )
    admin_path: str = setting(
        ValueForm(parsing.admin_path, "a path that begins with /, not / itself", "/admin"),
        "/admin",
        "Path of the operator's HTTP API.",
    )
    admin_token: Secret | None = setting(
        TOKEN,
        None,
        "Token that the fraiseql-guard command sends with --url; the guard itself does not read it.",
    )
    actor: str | None = setting(
        ACTOR,
        None,
        "Name under which the audit records what the fraiseql-guard command does on a Redis; unset: the system's user.",
    )

    # signals
    metrics_path: str = setting(
        ValueForm(parsing.path, "a path that begins with /", "/metrics"),
        "/metrics",
        "Path of the metrics page, in Prometheus's format.",
    )
    metrics_networks: tuple[parsing.Network, ...] = setting(
        NETWORKS,
        "",
        "Networks that may read the metrics, besides loopback peers that are no proxy (in development also Starlette's "
        "TestClient).",
    )
    metrics_token: Secret | None = setting(
        TOKEN,
        None,
        "Bearer token that may read the metrics from anywhere, of 32 bytes or more.",
    )
    health_path: str = setting(
        ValueForm(parsing.path, "a path that begins with /", "/health/detailed"),
        "/health/detailed",
        "Path of the health details, for private peers that are no proxy and for all who may read the metrics.",
    )
    memory_high_percent: int = setting(PERCENT, "70", "Memory use that is reported as high.")
    memory_critical_percent: int = setting(PERCENT, "90", "Memory use that is reported as critical.")
    gc_freeze: bool = setting(
        SWITCH,
        "true",
        "Whether garbage collections skip the objects that exist at the end of the start (gc.freeze), so that none "
        "stops the process for tens of milliseconds.",
    )
    log_file: Path | None = setting(
        ValueForm(parsing.file_path, "a path", "/var/log/fraiseql/app.log"),
        None,
        "File for log lines; unset: standard error.",
    )
    log_level: str = setting(
        ValueForm(
            parsing.choice("debug", "info", "warning", "error", "critical"), "a level, debug to critical", "warning"
        ),
        "info",
        "Lowest level of the lines that are written; what operators do is always written.",
    )
    access_log: str = setting(
        ValueForm(parsing.choice("all", "sampled", "off"), "all, sampled or off", "sampled"),
        "all",
        "Lines about answered requests (http.request): all; sampled: those that failed or took a second, and a tenth "
        "of the rest; or off.",
    )
    log_measures: bool = setting(
        SWITCH,
        "true",
        "Whether lines about answered GraphQL requests carry their measures, which fraiseql-guard tune reads.",
    )
    log_query_text: bool = setting(
        SWITCH, "false", "Whether log lines carry the text of refused queries, up to 20,000 characters."
    )

    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """Where each value came from: override, argument, environment, file or default."""

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **options: Any) -> Settings:
        """Read keyword options and the environment; SettingsError with one line per unusable value."""
        values, sources = read_values(VARIABLES, options, os.environ if environ is None else environ)
        return cls(**values, sources=sources)

    def override(self, *, source: str = "argument", **options: Any) -> Settings:
        """The settings with ``options`` in place of single values; ``source`` is noted as their origin. SettingsError
        as for :meth:`load`."""
        values, sources = read_values(VARIABLES, options, {})
        given = {option for option, found in sources.items() if found == "argument"}
        return replace(
            self,
            **{option: values[option] for option in given},
            sources={**self.sources, **dict.fromkeys(given, source)},
        )

    def by(self, clock: Clock) -> Settings:
        """The same settings, whose secrets in files are read again by another clock."""
        values: dict[str, Any] = {option: getattr(self, option) for option in _NAMES}
        secrets: dict[str, Any] = {
            option: value.by(clock) for option, value in values.items() if isinstance(value, Secret)
        }
        return replace(self, **secrets)

    def explicit(self, *, beyond_environment: bool) -> Mapping[str, Any]:
        """The settings that were chosen, by option: those given as arguments or, if not ``beyond_environment``, all
        that are not defaults."""
        chosen = {"argument"} if beyond_environment else {"argument", "environment", "file"}
        return {option: getattr(self, option) for option, source in self.sources.items() if source in chosen}

    def mode_of(self, protection: Protection) -> Mode:
        """The mode that a mounted protection is in."""
        own: str | None = getattr(self, f"mode_{protection.value}", None)
        return Mode(own or self.mode)

    def escalation(self, policy: PolicyName) -> Escalation:
        """The escalation of an automatic policy: its offences, window and sanction. KeyError for the operator's
        policy."""
        offences, window, sanction = _ESCALATION_OPTIONS[policy]
        return Escalation(
            policy,
            offences=getattr(self, offences),
            window_seconds=getattr(self, window),
            sanction_seconds=getattr(self, sanction),
            enforced=self.mode_of(POLICY_OWNERS[policy]) is Mode.ENFORCE,
        )

    @property
    def verifies_tokens(self) -> bool:
        """Whether any key to verify tokens with is configured."""
        return any(getattr(self, option) for option in KEY_OPTIONS)

    @property
    def authenticates(self) -> bool:
        """Whether there are keys to verify tokens with, or a file of API keys."""
        return self.verifies_tokens or self.api_keys_file is not None

    @property
    def serves_operators(self) -> bool:
        """Whether any operator can use the HTTP API. If not, its path belongs to the app."""
        return self.admin_tokens is not None or self.admin_scope is not None

    @property
    def worker_count(self) -> int:
        """Processes that share the limits: the setting, else WEB_CONCURRENCY (uvicorn, gunicorn), else 1."""
        return self.host_worker_count if self.workers is None else self.workers

    @property
    def host_worker_count(self) -> int:
        """Processes that share a ``/metrics`` page. With Redis the setting counts the workers of all hosts, and says
        nothing about this host."""
        if self.workers is not None and self.redis_url is None:
            return self.workers
        concurrency = os.environ.get("WEB_CONCURRENCY", "")
        return max(1, int(concurrency)) if concurrency.isascii() and concurrency.isdigit() else 1

    @property
    def suggestions_hidden(self) -> bool:
        """Whether suggestions are taken out of the app's errors; the default depends on the environment."""
        return self.environment != "development" if self.hide_suggestions is None else self.hide_suggestions

    @property
    def public_root_fields(self) -> frozenset[str]:
        """Root fields that may be called without a token: the public operations and, in development, an introspection.
        The pages of GraphiQL and its kin ask for the schema before a token can be given to them."""
        public = frozenset(self.public_operations)
        introspects = self.environment == "development" and self.introspection_policy == "allow"
        return public | INTROSPECTION if introspects else public

    @property
    def introspection_policy(self) -> str:
        """allow, deny or authenticated; the default depends on the environment."""
        return self.introspection or ("allow" if self.environment == "development" else "deny")


INTROSPECTION: Final = frozenset({"__schema", "__type", "__typename"})
"""Root fields of an introspection (GraphQL specification, section 4.2)."""

VARIABLES: Final[tuple[SettingVariable, ...]] = table_of(Settings)
"""The rows of all settings, in the order of the documentation."""

CHANGEABLE: Final = frozenset(row.option for row in VARIABLES if row.changeable)
"""Options that an operator can override while the process runs: numbers, limits, modes. Never a secret, a path, a
network or the store: access to the store must not suffice to decide which tokens hold."""

_NAMES: Final = {row.option: row.name for row in VARIABLES}


def name_of(option: str) -> str:
    """The environment variable of an option, for messages; KeyError for an unknown option."""
    return _NAMES[option]


_ESCALATION_OPTIONS: Final[Mapping[PolicyName, tuple[str, str, str]]] = {
    # policy: how many offences, in which window, bring a sanction of which length
    PolicyName.RATE_LIMIT_ABUSE: (
        "rate_limit_abuse_offences", "rate_limit_abuse_window_seconds", "rate_limit_abuse_block_seconds",
    ),
    PolicyName.BRUTE_FORCE: ("brute_force_offences", "brute_force_window_seconds", "brute_force_block_seconds"),
    PolicyName.DOS: ("dos_offences", "dos_window_seconds", "dos_block_seconds"),
    PolicyName.ACCOUNT_LOCKOUT: ("lockout_offences", "lockout_window_seconds", "lockout_seconds"),
}  # fmt: skip
KEY_OPTIONS: Final = (
    *("jwt_secret", "jwt_secret_new", "jwt_secret_old"),
    *("jwt_public_key", "jwt_public_key_new", "jwt_public_key_old"),
    *("jwks_file", "jwks_url"),
)
"""Options that bring keys to verify tokens with."""

POLICY_OWNERS: Final[Mapping[PolicyName, Protection]] = {
    PolicyName.RATE_LIMIT_ABUSE: Protection.RATE_LIMIT,
    PolicyName.BRUTE_FORCE: Protection.AUTH,
    PolicyName.DOS: Protection.QUERY_LIMITS,
    PolicyName.ACCOUNT_LOCKOUT: Protection.AUTH,
    PolicyName.OPERATOR: Protection.RATE_LIMIT,
}
"""The protection in whose name (and mode) a policy's sanctions refuse."""


def warnings(environ: Mapping[str, str] | None = None) -> list[str]:
    """Warnings about FRAISEQL_* variables that no setting reads."""
    return unknown_variables(VARIABLES, {*FRAISEQL_VARIABLES, DATABASE_FILE_VARIABLE}, environ)

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
    mode_rate_limit: str | None = setting(MODE, None, "Mode of the rate limits alone.", changeable=True)
    mode_auth: str | None = setting(MODE, None, "Mode of the authentication alone.", changeable=True)
    mode_query_limits: str | None = setting(MODE, None, "Mode of the query limits alone.", changeable=True)
    mode_timeout: str | None = setting(MODE, None, "Mode of the query timeout alone.", changeable=True)
    environment: str | None = setting(
        TEXT, None, "FraiseQL's environment; development allows introspection.", name="FRAISEQL_ENVIRONMENT"
    )
    graphql_paths: tuple[str, ...] = setting(PATHS, "/graphql", "Paths that speak GraphQL, with all under them.")
    cors_origins: tuple[str, ...] = setting(
        ValueForm(parsing.origins, "a list of origins, or *", "https://app.example.org"),
        "",
        "Origins whose pages may read our refusals (CORS headers), and whose preflights cost nothing.",
    )
    workers: int | None = setting(
        COUNT, None, "Worker processes on this store, of all hosts together, as long as Redis cannot tell."
    )
    overrides_file: Path | None = setting(
        ValueForm(parsing.file_path, "a path", "/etc/fraiseql/overrides.yml"),
        None,
        "YAML of modes, settings, blocks, documents and operations that override for a while; read again when it "
        "changes.",
    )
    refusal_template_file: Path | None = setting(
        ValueForm(parsing.file_path, "a path", "/etc/fraiseql/refusals.json"),
        None,
        "JSON with the bodies of refusals, in place of the guard's own: placeholders like {code} stand in its texts.",
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
        "Header in which trusted proxies name the client: x-forwarded-for, forwarded, or one with a single address.",
    )
    proxy_count: int | None = setting(
        ValueForm(parsing.integer(1, 20), "a whole number from 1 to 20", "2"),
        None,
        "Number of proxies in front whose networks are not known, in place of trusted proxies: the client is the "
        "so many-th address from the right of the forwarding header.",
    )
    ipv6_prefix: int = setting(
        ValueForm(parsing.integer(48, 128), "a prefix length from 48 to 128", "56"),
        "64",
        "Prefix of an IPv6 address that is one caller; the /64, /56 and /48 around it have wider limits.",
    )
    nat64_prefixes: tuple[IPv6Network, ...] = setting(
        ValueForm(network_forms.translator_prefixes, "a list of IPv6 prefixes", "2001:db8:64::/96"),
        "",
        "Prefixes behind which translators put IPv4 callers, besides 64:ff9b::/96 and 64:ff9b:1::/96: each such caller "
        "is its IPv4 address.",
    )

    # rate limits
    rate_limit_default: Rate = setting(
        RATE, "100/minute", "Rate of an anonymous address.", name="FRAISEQL_RATE_LIMIT_DEFAULT", changeable=True
    )
    rate_limit_authenticated: Rate | None = setting(
        RATE, "500/minute", "Rate of a verified user.", name="FRAISEQL_RATE_LIMIT_AUTHENTICATED", changeable=True
    )
    rate_limit_graphql: Rate | None = setting(
        RATE, None, "Further rate on GraphQL paths.", name="FRAISEQL_RATE_LIMIT_GRAPHQL", changeable=True
    )
    rate_limit_graphql_query: Rate | None = setting(
        RATE, None, "Further rate of GraphQL queries.", name="FRAISEQL_RATE_LIMIT_GRAPHQL_QUERY", changeable=True
    )
    rate_limit_graphql_mutation: Rate | None = setting(
        RATE, None, "Further rate of GraphQL mutations.", name="FRAISEQL_RATE_LIMIT_GRAPHQL_MUTATION", changeable=True
    )
    rate_limit_key: RateLimitKey = setting(
        ValueForm(
            limit_key.rate_limit_key,
            "user, address, tenant, header:NAME, claim:NAME, or several of them with + between",
            "tenant+header:X-API-Key",
        ),
        "user",
        "What limits count callers by: user (else the address), address, tenant, a header, a claim, or several at "
        "once; without a value it is the user, else the address.",
    )
    rate_limit_burst: Burst = setting(
        ValueForm(parsing.burst, "a whole number of requests, or a share of the rate from 0% to 1000%", "20%"),
        "20%",
        "Requests above a rate that a full bucket holds: a number, or a share of the rate, rounded down; of several "
        "windows the shortest alone.",
        name="FRAISEQL_RATE_LIMIT_BURST",
        changeable=True,
    )
    rate_limit_public: Rate = setting(
        RATE, "20/minute", "Rate of public operations (one token a root field).", changeable=True
    )
    rate_limit_wait_ms: int = setting(
        ValueForm(parsing.integer(0, 10_000), "milliseconds from 0 to 10000", "500"),
        "0",
        "Longest that a request waits for its rate instead of being refused; 0: none does.",
        changeable=True,
    )
    rate_limit_waiting: int = setting(
        COUNT,
        "100",
        "Most requests that wait so at once in a process; a quarter of them of one caller.",
        changeable=True,
    )
    rate_limit_count: str = setting(
        ValueForm(parsing.choice("all", "failures"), "all or failures", "failures"),
        "all",
        "Which requests count: all, or failures alone: then one that succeeds gets its tokens back after its answer.",
        changeable=True,
    )
    rate_limit_not_modified: str = setting(
        ValueForm(parsing.choice("count", "refund"), "count or refund", "refund"),
        "count",
        "What an answer 304 (Not Modified) does: count, or refund: give its request the tokens back.",
        changeable=True,
    )
    rate_limit_headers: tuple[str, ...] = setting(
        ValueForm(parsing.rate_limit_headers, "standard, legacy, both, or none", "standard"),
        "standard,legacy",
        "Headers that tell clients what is left: RateLimit and RateLimit-Policy (standard), X-RateLimit-* (legacy), or "
        "none. Retry-After stays.",
        changeable=True,
    )
    expose_limits: bool = setting(
        SWITCH,
        "true",
        "Whether clients are told of limits: their numbers, what exceeded them, and which setting decides. Else a "
        "refusal says its code and when to come back.",
        changeable=True,
    )
    max_in_flight: int = setting(
        COUNT, "10", "Most operations of one caller at work at once, in a process.", changeable=True
    )
    database_pool_size: int | None = setting(
        COUNT,
        None,
        "Connections of the app's database pool: all but 2 may be at work, half for anonymous callers.",
        changeable=True,
    )
    shed_above_memory_percent: int | None = setting(
        PERCENT, None, "Last resort: GraphQL queries are refused (503) while memory use is above this; mutations pass."
    )
    tiers: Mapping[str, Rate] = setting(
        ValueForm(
            cost_forms.tiers, "a list of name=rate, windows joined by +", "free=50/minute,pro=500/minute+9000/day"
        ),
        "",
        "Rates by tier; a tier replaces all other rates of its user.",
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
        "Paths that are free of rate limits for private peers, and counted as probes: in no ratio.",
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
        "The rules themselves, up to 64 KiB, in place of a file; set at run time they hold in place of the file's.",
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
        "What all keys in Redis begin with: apps and environments with different ones share nothing.",
    )
    on_store_failure: str = setting(
        ValueForm(parsing.choice("local", "open", "closed"), "local, open or closed", "local"),
        "local",
        "Without the store: local counts in each worker, at its share of each limit; open admits everything; closed "
        "refuses with 503.",
    )
    store_timeout_ms: int = setting(
        ValueForm(parsing.integer(1, 10_000), "milliseconds from 1 to 10000", "50"), "50", "Longest wait for the store."
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
        "JWK set with public keys, read again when it changes.",
    )
    jwks_url: str | None = setting(
        ValueForm(
            key_forms.https_url,
            "an https address, or http on this machine",
            "https://id.example.org/.well-known/jwks.json",
        ),
        None,
        "JWK set with public keys, fetched ahead of need; the last good one serves for a day without its source.",
    )
    jwks_refresh_seconds: int = setting(
        COUNT, "300", "Age from which the fetched JWK set is fetched again, ahead of need."
    )
    jwt_algorithms: tuple[str, ...] | None = setting(
        ValueForm(key_forms.algorithms, f"a list of {', '.join(key_forms.ALGORITHMS)}", "RS256"),
        None,
        "Accepted signatures; unset: HS256 for secrets, and what each public key can make.",
    )
    jwt_issuer: str | None = setting(TEXT, None, "Required issuer (iss).")
    jwt_audience: str | None = setting(TEXT, None, "Required audience (aud).")
    jwt_leeway_seconds: int = setting(COUNT_OR_ZERO, "0", "Clock difference allowed for exp and nbf.")
    tenant_claim: str | None = setting(TEXT, None, "Claim that, with issuer and sub, tells users apart.")
    token_grace_seconds: int = setting(COUNT_OR_ZERO, "0", "How long a token is still accepted after it expired.")
    max_token_lifetime_seconds: int = setting(COUNT, "86400", "Farthest expiry (exp) that is accepted.")
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
        "YAML list of API keys: sha256 and name, if wanted tier, scopes, tenant, expires_at and disabled; read again "
        "when it changes. fraiseql-guard api-key makes entries.",
    )
    api_key_header: str = setting(
        ValueForm(parsing.credential_header, "the name of a request header of its own", "x-api-key"),
        "x-api-key",
        "Header that carries an API key; Authorization may too, as Bearer.",
    )
    token_cookie: str | None = setting(
        ValueForm(parsing.cookie_name, "the name of a cookie", "__Host-token"),
        None,
        "Cookie that may hold the token of requests that come from our own pages or those of the CORS origins.",
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
        COUNT_OR_ZERO, "0", "How long that answer is remembered; 0 asks with every request."
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
        COUNT, "1000", "Largest list that may be asked for.", name="FRAISEQL_MAX_LIST_SIZE", changeable=True
    )
    max_offset: int = setting(COUNT_OR_ZERO, "10000", "Farthest offset that may be asked for.", changeable=True)
    edges_node_one_level: bool = setting(
        SWITCH,
        "true",
        "Whether edges and the node below it (Relay's connections) are one level of the depth.",
        changeable=True,
    )
    max_aliases: int = setting(
        COUNT_OR_ZERO,
        "30",
        "Most aliases that ask one object for a field again, counted through fragments.",
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
        "Limits that are only counted and logged, while the others refuse.",
        changeable=True,
    )
    list_multiplier: int = setting(COUNT, "10", "Assumed size of a list whose size is not known.", changeable=True)
    field_costs: Mapping[str, int] = setting(
        ValueForm(cost_forms.field_costs, "a list of Type.field=points", "User.posts=10,Post.comments=10"),
        "",
        "Points of single fields (else 1 with children or at the root, 0 for a leaf).",
        changeable=True,
    )
    list_fields: tuple[str, ...] = setting(
        ValueForm(cost_forms.list_fields, "a list of field or Type.field", "followers,User.friends"),
        "",
        "Fields that return lists, where no schema tells.",
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
        "Arguments that are lists and bring an item for each of theirs: their length is the size.",
        changeable=True,
    )
    filter_arguments: tuple[str, ...] = setting(
        NAMES,
        "where,filter,filters,by,having,condition,conditions,criteria,match,range,order,sort,zone,timezone,tz",
        "Words in the names of arguments and input fields (where, orderBy, user_filter) in which no size is looked "
        "for.",
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
        "Fields that the schema lacks: refuse them where it is the object that the app runs and validates by, or pass "
        "them on.",
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
        COUNT, "3", "Most lists inside each other in an introspection.", changeable=True
    )
    trusted_documents: str = setting(
        ValueForm(parsing.choice("off", "allow", "require"), "off, allow or require", "require"),
        "off",
        "Documents of the manifest and the store: allow frees them of the static limits, require refuses all others.",
    )
    trusted_documents_file: Path | None = setting(
        ValueForm(parsing.file_path, "a path", "persisted-queries.json"),
        None,
        "Manifest of trusted documents (Relay's or Apollo's form), read again when it changes. Those that the store "
        "holds for the whole fleet count as well.",
    )
    apq: bool = setting(SWITCH, "false", "Whether clients may register documents by their hash (Apollo's APQ).")
    cost_budgets: Mapping[str, int] = setting(
        ValueForm(cost_forms.cost_budgets, "a list of tier=points", "free=1000,pro=10000,default=500"),
        "",
        "Complexity points per hour by tier; default is for everybody else, anonymous addresses included.",
        changeable=True,
    )
    cost_header: str | None = setting(
        ValueForm(parsing.header_name, "the name of a response header", "x-graphql-cost"),
        None,
        "Header in which the app's answer names what its operation cost, in points: the difference to the estimate is "
        "given back to the cost budget, or taken.",
    )
    hide_cost_header: bool = setting(SWITCH, "true", "Whether that header is taken out of the answer.")
    cost_extension: str | None = setting(
        ValueForm(parsing.dotted_path, "keys joined by dots", "cost.actualQueryCost"),
        None,
        "Where in an answer's extensions that cost stands; a header comes first.",
    )
    cost_in_response: bool = setting(
        SWITCH, "false", "Whether answers carry their cost in extensions.cost.", changeable=True
    )
    hide_suggestions: bool | None = setting(
        SWITCH,
        None,
        "Whether 'Did you mean' is taken out of the app's errors; unset: everywhere but in development.",
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
        "Most memory for the bodies of a process at one time; those of one caller take an eighth, or one largest body.",
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
        "Origins besides our own and the CORS origins whose pages may open WebSockets.",
    )
    socket_token_keys: tuple[str, ...] = setting(
        ValueForm(parsing.keys, "a list of keys", "authorization,jwt"),
        "authorization,token,authToken,accessToken",
        "Keys of connection_init's payload (or of headers in it) that hold the token; their case plays no part.",
    )
    socket_token_parameter: str | None = setting(
        TEXT, None, "Parameter of the query string that may hold a WebSocket's token."
    )
    rate_limit_sockets: Rate = setting(
        RATE,
        "60/minute",
        "Rate at which a caller may open WebSockets; as many again at once. A deployment has all clients of an office "
        "come back together.",
        changeable=True,
    )
    max_sockets_per_caller: int = setting(
        COUNT, "20", "Most WebSockets of one caller that are open, in a process.", changeable=True
    )
    max_sockets: int = setting(
        COUNT,
        "2000",
        "Most open WebSockets of a process; half without a verified user, a quarter before connection_init.",
        changeable=True,
    )
    max_subscriptions_per_socket: int = setting(
        COUNT, "50", "Most operations that are open on one WebSocket.", changeable=True
    )
    max_subscriptions_per_caller: int = setting(
        COUNT,
        "100",
        "Most open subscriptions of one caller, over WebSockets, SSE and multipart together, in a process.",
        changeable=True,
    )
    max_subscriptions: int = setting(
        COUNT, "5000", "Most open subscriptions of a process; half for anonymous callers.", changeable=True
    )
    max_message_bytes: int = setting(BYTES, "131072", "Largest message of a client over a WebSocket.", changeable=True)
    socket_messages: Limit = setting(
        ONE_WINDOW,
        "20/second",
        "Rate of the messages of one WebSocket, whatever they are; five times as many again at once.",
        changeable=True,
    )
    socket_init_seconds: float = setting(
        SECONDS, "10", "Longest time from the opening of a WebSocket to its connection_init.", changeable=True
    )
    socket_idle_seconds: float = setting(
        SECONDS, "300", "Longest time of a WebSocket without an operation and without a message.", changeable=True
    )
    socket_max_seconds: float = setting(
        SECONDS, "86400", "Longest life of a WebSocket, up to a tenth less at random.", changeable=True
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
        "Longest time of a GraphQL request (FraiseQL: whole seconds).",
        name="FRAISEQL_QUERY_TIMEOUT",
        changeable=True,
    )
    mutation_timeout: float | None = setting(
        SECONDS, None, "Longest time of a mutation, if not the query timeout.", changeable=True
    )
    request_timeout: float | None = setting(SECONDS, None, "Longest time of a request on other paths.", changeable=True)
    stream_idle_seconds: float = setting(SECONDS, "60", "Longest silence inside a streamed answer.", changeable=True)
    cancel_mutations: bool = setting(
        SWITCH, "false", "Whether a client that leaves cancels its mutation too.", changeable=True
    )
    slow_query_seconds: float = setting(
        SECONDS, "5", "Duration from which a database statement is logged as slow.", changeable=True
    )

    # offences and sanctions
    rate_limit_abuse_offences: int = setting(COUNT, "50", "Rate limit violations that bring a block.", changeable=True)
    rate_limit_abuse_window_seconds: int = setting(COUNT, "300", "Window of those violations.", changeable=True)
    rate_limit_abuse_block_seconds: int = setting(COUNT, "300", "Length of that block.", changeable=True)
    brute_force_offences: int = setting(COUNT, "15", "Failed tokens of an address that bring a block.", changeable=True)
    brute_force_window_seconds: int = setting(COUNT, "300", "Window of those failures.", changeable=True)
    brute_force_block_seconds: int = setting(COUNT, "300", "Length of that block.", changeable=True)
    dos_offences: int = setting(COUNT, "10", "Expensive queries that bring a block.", changeable=True)
    dos_window_seconds: int = setting(COUNT, "60", "Window of those queries.", changeable=True)
    dos_block_seconds: int = setting(COUNT, "300", "Length of that block.", changeable=True)
    lockout_offences: int = setting(
        COUNT,
        "5",
        "Failed logins of one identifier at one address, as the app reports them, that bring a lockout.",
        changeable=True,
    )
    lockout_window_seconds: int = setting(COUNT, "300", "Window of those logins.", changeable=True)
    lockout_seconds: int = setting(COUNT, "1800", "Length of that lockout.", changeable=True)

    # the operator's HTTP API
    admin_tokens: Secret | None = setting(
        ADMIN_TOKENS,
        None,
        "Tokens of the operator's HTTP API, by actor: name=token, each of 32 bytes or more. Without tokens and scope "
        "the path belongs to the app.",
    )
    admin_scope: str | None = setting(
        ValueForm(parsing.scope, "the name of a scope", "guard:operate"),
        None,
        "Scope that makes the bearer of a verified token an operator.",
    )
    admin_path: str = setting(
        ValueForm(parsing.admin_path, "a path that begins with /, not / itself", "/admin"),
        "/admin",
        "Where the API stands.",
    )
    admin_token: Secret | None = setting(
        TOKEN,
        None,
        "Token that the fraiseql-guard command sends with --url; the guard itself does not read it.",
    )
    actor: str | None = setting(
        ACTOR,
        None,
        "Who acts with the fraiseql-guard command on a Redis, for the audit; unset: the user of the system.",
    )

    # signals
    metrics_path: str = setting(
        ValueForm(parsing.path, "a path that begins with /", "/metrics"), "/metrics", "Exposition."
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
        "Health details, for private peers that are no proxy and for all who may read the metrics.",
    )
    memory_high_percent: int = setting(PERCENT, "70", "Memory use that is reported as high.")
    memory_critical_percent: int = setting(PERCENT, "90", "Memory use that is reported as critical.")
    gc_freeze: bool = setting(
        SWITCH,
        "true",
        "Whether garbage collections leave out what the process held at the end of its start (gc.freeze): they no "
        "longer stop it for tens of milliseconds.",
    )
    log_file: Path | None = setting(
        ValueForm(parsing.file_path, "a path", "/var/log/fraiseql/app.log"),
        None,
        "File for log lines; else standard error.",
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
        "Whether lines about answered GraphQL requests carry what was measured of them, for fraiseql-guard tune.",
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

"""The ASGI adapter that every middleware of ours is: one list of gates, longer or shorter.

Mounted on each other directly they become one: the outermost takes over the protections, settings and schema of those
inside, so that the gates run in their one right order whatever the order of mounting. With something else in between
(a mounted app, a route's own middleware) each decides for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Final
from weakref import WeakSet

from prometheus_client import CollectorRegistry

from fraiseql_guard.database import DatabaseSignals, Timed
from fraiseql_guard.edge.app_routes import routes_of, unguarded_graphql
from fraiseql_guard.edge.entrance import Entrance
from fraiseql_guard.edge.server_errors import name_server_errors
from fraiseql_guard.edge.stack import Stack
from fraiseql_guard.edge.unusable import Unusable, built_by_starlette, running_loop
from fraiseql_guard.graphql.schema import SchemaSource
from fraiseql_guard.host import POOL, Host
from fraiseql_guard.host.garbage import Collected, collect_garbage, freeze_startup_objects
from fraiseql_guard.identity.user_status import AskUserStatus
from fraiseql_guard.inside import names_inside, told
from fraiseql_guard.lockouts import Lockout
from fraiseql_guard.mounting import Wishes, chain, schema_of, startup_warnings
from fraiseql_guard.reports import MARK, logins
from fraiseql_guard.request import REQUEST, at_work, context_of
from fraiseql_guard.settings import Settings, name_of, warnings
from fraiseql_guard.settle import Settle
from fraiseql_guard.signals import Protection
from fraiseql_guard.steering import Steering
from fraiseql_guard.telemetry import multiprocess

_SHOWN: Final = 10
"""Most paths that a sentence names."""
_DOCUMENTS_SECONDS: Final = 2.0
"""Longest that a start waits for the trusted documents of the store."""


class Middleware:
    """An ASGI middleware with some of the protections.

    ``settings`` replaces the environment; ``options`` are single settings by name and win over both. ``schema`` (a
    GraphQLSchema, SDL text, a path, or a callable) sharpens the query limits. ``registry`` takes the metrics instead of
    an own one, ``logger`` (structlog or logging) the log lines. ``database`` takes what the app tells of its database.
    ``user_status`` is an async function that is given the verified identity of every request and returns ``"active"``
    (or None), ``"not_found"`` or ``"disabled"``.

    Raises :class:`SettingsError` for anything unusable. Built by ``app.add_middleware``, when an exception would no
    longer stop the start, it answers the lifespan with the error instead, and requests with 503 (edge/unusable.py).
    """

    protections: ClassVar[frozenset[Protection]] = frozenset()

    def __init__(
        self,
        app: Any,
        *,
        settings: Settings | None = None,
        schema: SchemaSource | None = None,
        registry: CollectorRegistry | None = None,
        logger: Any = None,
        user_status: AskUserStatus | None = None,
        database: DatabaseSignals | None = None,
        **options: Any,
    ) -> None:
        self.app: Any = app
        self._unusable: Unusable | None = None
        self._started = self._has_lifespan = False
        self._inner: WeakSet[Middleware] = WeakSet()
        self._told: set[tuple[str, ...]] = set()
        self._check: asyncio.Task[None] | None = None
        self._spoils = partial(Unusable, logger=logger, log_file=options.get("log_file"))
        late = built_by_starlette()
        try:
            own = (settings.override(**options) if options else settings) if settings else Settings.load(**options)
            wishes = Wishes(
                names=(type(self).__name__,),
                protections=self.protections,
                settings=own,
                explicit=own.explicit(beyond_environment=settings is None),
                schema=schema,
                registry=registry,
                logger=logger,
                user_status=user_status,
                database=database,
                awaits_schema=late,
            )
            self._build(wishes, app)
        except Exception as error:
            if not late:
                raise
            self._unusable = self._spoils(error)

    def _build(self, wishes: Wishes, app: Any) -> None:
        """Take over a guard directly inside, and make all that is made once."""
        self.database = wishes.database or DatabaseSignals()
        inner = app if isinstance(app, Middleware) else None
        if inner is not None:
            if inner.unusable_because is not None:
                raise inner.unusable_because
            wishes = wishes.joined(inner.wishes)
            inner.release()
            self.database = wishes.database or inner.database
            app = inner.app
        if wishes.schema is None:
            wishes = replace(wishes, schema=next(filter(None, map(schema_of, chain(app))), None))
        self.app = app
        self.wishes = wishes
        self.host = Host.of(wishes.settings, inner.host if inner else None, shared=multiprocess.directory())
        self.host.providers.offer(POOL, self.database.facts)
        self.steering = Steering(
            wishes, self.host, self.database, on_stack=lambda stack: setattr(self._entrance, "stack", stack)
        )
        self._entrance = Entrance(self.steering.stack)

    @property
    def unusable_because(self) -> Exception | None:
        """Why nothing is served, if that is so."""
        return self._unusable.error if self._unusable is not None else None

    wishes: Wishes
    """What this middleware, and those that it has taken over, were given."""
    host: Host
    """What is known of this process beside its requests: memory, caches, and what others offer."""

    def observe_cache(self, name: str, size: Callable[[], int], clear: Callable[[], Any] | None = None) -> None:
        """Count one of the app's caches in the metrics, and let operators clear it.

        ``size`` returns the bytes that it holds and is called every few seconds; ``clear`` empties it. Both are plain
        functions. The same name again replaces the former one.
        """
        self.host.caches.observe(name, size, clear)

    def collect_garbage(self) -> Collected:
        """Collect this process's garbage now; everything else stands still meanwhile."""
        return collect_garbage()

    database: DatabaseSignals
    """Where the app tells of its database; the same one for all that became one."""

    def observe_pool(self, pool: Any) -> None:
        """Export how full a database pool is: see :meth:`DatabaseSignals.observe_pool`."""
        self.database.observe_pool(pool)

    def record_query(self, seconds: float, **what: Any) -> None:
        """Count a database statement: see :meth:`DatabaseSignals.record_query`."""
        self.database.record_query(seconds, **what)

    def timed_query(self, statement: Any = None, **what: Any) -> Timed:
        """Time a database statement with ``with``: see :meth:`DatabaseSignals.timed_query`."""
        return self.database.timed_query(statement, **what)

    @property
    def _stack(self) -> Stack:
        return self._entrance.stack

    @property
    def settings(self) -> Settings:
        """The settings in force, overrides included."""
        return self.steering.settings

    @property
    def registry(self) -> CollectorRegistry:
        """The registry that holds the metrics."""
        return self._stack.settle.metrics.registry

    @property
    def stack(self) -> Stack:
        """The gates and all that they lean on."""
        return self._stack

    @property
    def settle(self) -> Settle:
        """Where signals go."""
        return self._stack.settle

    async def login_locked(self, identifier: str, request: Any) -> Lockout | None:
        """Whether a login may be tried (reports.Logins.locked); ``request`` is Starlette's, or an ASGI scope."""
        return await logins(request, self).locked(identifier)

    async def report_login_failure(self, identifier: str, request: Any) -> Lockout | None:
        """Tell of a failed login (reports.Logins.failed)."""
        return await logins(request, self).failed(identifier)

    async def report_login_success(self, identifier: str, request: Any) -> None:
        """Tell of a login (reports.Logins.succeeded)."""
        await logins(request, self).succeeded(identifier)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one ASGI scope."""
        outer = scope.get(MARK)
        if outer is None and not self._started:
            self._start(scope)
        if self._unusable is not None:
            await self._unusable(scope, receive, send)
            return
        if outer is not None:
            await self._inside(outer, scope, receive, send)
            return
        scope[MARK] = self
        if scope["type"] == "lifespan":
            self._stack.control.ensure_polling()  # a worker is seen, and obeys, before its first request
            await self.app(scope, receive, self._watching_the_end(send))
        else:
            await self._entrance.serve(self.app, scope, receive, send)

    async def _inside(self, around: Middleware, scope: Any, receive: Any, send: Any) -> None:
        """Decide as well what a guard further outside has let pass: each does what it is configured for.

        The app around this one finds its scope and its context again as they were.
        """
        around.meet(self)
        outer, kept = context_of(scope), {name: scope[name] for name in (MARK, REQUEST) if name in scope}
        if outer is not None and at_work(outer):
            outer.books = around.stack.books
        else:
            scope.pop(REQUEST, None)  # a socket, or a request that comes again after its end: there is none around it
        del scope[MARK]
        self._has_lifespan |= scope["type"] == "lifespan"
        try:
            await self(scope, receive, send)
        finally:
            scope.update(kept)

    def meet(self, inner: Middleware) -> None:
        """Another guard decides inside of this one's app: said once, and closed with us if nothing else closes it."""
        if inner is not self and inner not in self._inner and inner.unusable_because is None:
            self._inner.add(inner)
            self._tell_of(inner.wishes.names)

    def _tell_of(self, inner: tuple[str, ...]) -> None:
        if inner not in self._told:
            self._told.add(inner)
            self._stack.settle.warn(told(self.wishes.names, inner))

    def _start(self, scope: Any) -> None:
        """Begin with the first scope, or become unusable: an exception here would stop no server."""
        self._started = True
        if self._unusable is None:
            try:
                loop = running_loop()
                self._adopt_schema(scope.get("app"))
            except Exception as error:  # noqa: BLE001 - whatever it is, nothing may pass
                self._unusable = self._spoils(error)
                return
            self._stack.tell(self._stack.neighbours.look, self.app)
            self._stack.tell(name_server_errors, scope.get("app"))
            self._announce(scope.get("app"))
            if self._stack.verifier is not None:
                self._stack.tell(self._stack.verifier.warm_up)
            self._check = loop.create_task(self._check_store())
            self._stack.watch_host()

    def _announce(self, host: Any) -> None:
        """Say that we have started, and what deserves a look. ``host`` is the app that the scope names."""
        settings = self.settings
        fields = {
            "protections": sorted(each.value for each in Protection if self._stack.mounted(each)),
            "mode": settings.mode,
            "store": "redis" if settings.redis_url else "memory",
            "graphql_paths": list(settings.graphql_paths),
        }
        with suppress(Exception):  # signals are no reason to fail a request
            sentences = [*warnings(), *startup_warnings(self.wishes, self.app), *self._open_paths(host)]
            if self._stack.settle.metrics.shares_its_pid:
                sentences.append(multiprocess.SHARED_PID)
            self._stack.settle.process.started(fields, sentences)
        with suppress(Exception):  # an app may show anything
            for names in names_inside(self.app, Middleware):
                self._tell_of(names)

    def _open_paths(self, host: Any) -> list[str]:
        """What to say of routes that speak GraphQL and are not guarded, where the app shows its routes."""
        shown = self.app if self._stack.tell(routes_of, self.app) else host
        found = self._stack.tell(unguarded_graphql, shown, self._stack.paths, Middleware)
        if not found:
            return []
        return [
            f"GraphQL is served on {', '.join(found[:_SHOWN])} and not guarded there: name it in "
            f"{name_of('graphql_paths')}, beside the other paths"
        ]

    def _adopt_schema(self, host: Any) -> None:
        """A FraiseQL app shows its schema; mounted by add_middleware, we meet that app with the first scope."""
        if self.wishes.schema is not None:
            return
        schema = schema_of(host)
        if schema is not None or self.wishes.awaits_schema:
            self.wishes = replace(self.wishes, schema=schema, awaits_schema=False)
            self.steering.adopt(self.wishes)

    async def _check_store(self) -> None:
        """Say what of the store deserves a look, beside the requests."""
        for sentence in await self._stack.store.check():
            self._stack.settle.warn(sentence)

    def _watching_the_end(self, send: Any) -> Any:
        async def watch(message: Any) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self._know_documents()
                self._stack.tell(self._stack.neighbours.look, self.app)  # the app may have begun to trace
                if self.settings.gc_freeze:
                    freeze_startup_objects()
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                await self.aclose()
            await send(message)

        return watch

    async def _know_documents(self) -> None:
        """A worker that starts says so once it knows what the fleet trusts: else it refuses for a moment."""
        trusted = self.steering.lasting.trusted
        if trusted is not None:
            trusted.ensure_polling()
            await trusted.wait_until_known(_DOCUMENTS_SECONDS)

    # --- the end -----------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Give back connections and write out what is still to be logged. Happens by itself at a lifespan's end."""
        if self._check is not None:
            self._check.cancel()
        await self._stack.control.aclose()  # first: it keeps the ticker running
        await self.host.ticker.aclose()
        self._stack.tell(self._stack.repeats.tell)
        self._stack.tell(self._stack.settle.tell)
        self.host.memory.release()
        if self._stack.verifier is not None:
            await self._stack.verifier.aclose()
        if (trusted := self.steering.lasting.trusted) is not None:
            await trusted.aclose()
        await self.steering.lasting.presence.leave()
        await self._stack.store.aclose()
        inside, self._inner = list(self._inner), WeakSet()
        for inner in inside:
            if not inner._has_lifespan:  # noqa: SLF001 - a mounted app: frameworks tell it of no end
                await inner.aclose()
        self._stack.settle.log.close()

    def release(self) -> None:
        """An outer guard has taken over: take our metrics out of the registry."""
        self._stack.settle.metrics.close()

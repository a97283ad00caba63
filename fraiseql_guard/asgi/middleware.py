"""The ASGI middleware behind Guard and the single protections, which differ only in the checks that they run.

Middlewares mounted directly on each other become one: the outermost takes over the protections, settings and schema of
the inner ones, so that the checks run in the right order whatever the order of mounting. Where something else stands in
between (a mounted app, a route's own middleware), each middleware decides for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final
from weakref import WeakSet

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fraiseql_guard.asgi.announcement import announce
from fraiseql_guard.asgi.app_chain import chain, made_for_one_route, schema_of
from fraiseql_guard.asgi.app_hooks import AppHooks
from fraiseql_guard.asgi.app_routes import guarded_endpoints
from fraiseql_guard.asgi.describe import cover
from fraiseql_guard.asgi.dispatcher import Dispatcher
from fraiseql_guard.asgi.elsewhere import on_graphql_paths
from fraiseql_guard.asgi.inner_guards import names_inside, told
from fraiseql_guard.asgi.lifespan import lead_lifespan
from fraiseql_guard.asgi.logins import MARK, logins
from fraiseql_guard.asgi.mount_options import MountOptions
from fraiseql_guard.asgi.reloader import RuntimeReloader
from fraiseql_guard.asgi.runtime import Runtime
from fraiseql_guard.asgi.server_errors import name_server_errors
from fraiseql_guard.asgi.startup_warnings import ONE_EACH
from fraiseql_guard.asgi.unusable import UnusableGuard, built_by_starlette, running_loop
from fraiseql_guard.checks.lockouts import Lockout
from fraiseql_guard.core.clocks import Clock
from fraiseql_guard.core.notices import OnRefusal, OnSanction
from fraiseql_guard.core.refusal_facts import RenderRefusal
from fraiseql_guard.core.request import REQUEST, at_work, context_of
from fraiseql_guard.core.settings import Settings, name_of
from fraiseql_guard.core.signals import Protection
from fraiseql_guard.core.variables import SettingsError
from fraiseql_guard.graphql.cost.schema_table import SchemaSource
from fraiseql_guard.telemetry.database import DatabaseSignals, Timed
from fraiseql_guard.telemetry.process import POOL, ProcessMonitor
from fraiseql_guard.telemetry.process.garbage import Collected, collect_garbage, freeze_startup_objects
from fraiseql_guard.telemetry.recorder import RequestRecorder

if TYPE_CHECKING:
    from fraiseql_guard.identity.api_key_questions import AskApiKey
    from fraiseql_guard.identity.limit_keys import AskLimitKey
    from fraiseql_guard.identity.user_status import AskUserStatus

_DOCUMENTS_SECONDS: Final = 2.0
"""Longest wait for the store's trusted documents at the start."""


class Middleware:
    """An ASGI middleware with some of the protections.

    ``settings`` replaces the environment; ``options`` are single settings by name and win over both. ``schema`` (a
    GraphQLSchema, a strawberry.Schema, SDL text, a path, or a callable) sharpens the query limits; if it is the very
    object that the app runs, unknown fields are refused as well. ``registry`` receives the metrics in place of a
    registry of the guard's own, ``logger`` (structlog or logging) writes the log lines. ``database`` receives the app's
    reports about its database.
    ``user_status`` is an async function that is given the verified identity of every request and returns ``"active"``
    (or None), ``"not_found"`` or ``"disabled"``. ``api_keys`` is an async function that is given the SHA-256 of an API
    key in hex digits, and returns its :class:`~fraiseql_guard.ApiKey` or None; its answer is remembered for a minute.
    ``rate_limit_key`` is a function, async or not, that is given the RequestContext (core/context.py) and returns the
    text that limits count the request by, or None to count it by its user, else its address; a string is the setting of
    that name. ``render_refusal`` is a plain function that is given the :class:`RefusalFacts` of a refusal and returns
    its body: a dict or list, a :class:`RefusalBody`, or None for the guard's own. ``on_refusal`` and ``on_sanction``
    are async functions that are given a :class:`RefusalNotice` and a :class:`SanctionNotice`; they run beside the
    requests and delay none.

    ``clock`` is for tests of an app that is guarded (:class:`fraiseql_guard.testing.ManualClock`): it tells the seconds
    since 1970, and is read by limits and sanctions in memory, tokens, caches, watched files, log lines and all that
    happens after a while. Deadlines, the durations of requests and the pauses between two looks at the store go by the
    event loop's own clock; Redis keeps its own.

    Raises :class:`SettingsError` for an unusable argument or setting. Where Starlette builds the middleware
    (``app.add_middleware``), an exception would no longer stop the start: it then answers the lifespan with the error,
    and requests with 503 (asgi/unusable.py).
    """

    protections: ClassVar[frozenset[Protection]] = frozenset()
    """The protections that this class mounts."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings | None = None,
        schema: SchemaSource | None = None,
        registry: CollectorRegistry | None = None,
        logger: Any = None,
        user_status: AskUserStatus | None = None,
        api_keys: AskApiKey | None = None,
        rate_limit_key: AskLimitKey | str | None = None,
        render_refusal: RenderRefusal | None = None,
        on_refusal: OnRefusal | None = None,
        on_sanction: OnSanction | None = None,
        database: DatabaseSignals | None = None,
        clock: Clock | None = None,
        **options: Any,
    ) -> None:
        self.app: ASGIApp = app
        self._unusable: UnusableGuard | None = None
        self._started = self._has_lifespan = False
        self._inner: WeakSet[Middleware] = WeakSet()
        self._logged_inner: set[tuple[str, ...]] = set()
        self._check: asyncio.Task[None] | None = None
        self._make_unusable = partial(UnusableGuard, logger=logger, log_file=options.get("log_file"))
        late = built_by_starlette()
        ask_key = rate_limit_key if callable(rate_limit_key) else None
        if ask_key is None and rate_limit_key is not None:
            options["rate_limit_key"] = rate_limit_key
        try:
            # Read the settings, and build everything that can be built before the first request.
            own = (settings.override(**options) if options else settings) if settings else Settings.load(**options)
            mount_options = MountOptions(
                names=(type(self).__name__,),
                asked_for=self.protections,
                settings=own,
                explicit=own.explicit(beyond_environment=settings is None),
                schema=schema,
                registry=registry,
                logger=logger,
                app_hooks=AppHooks(
                    user_status=user_status,
                    api_keys=api_keys,
                    rate_limit_key=ask_key,
                    render_refusal=render_refusal,
                    on_refusal=on_refusal,
                    on_sanction=on_sanction,
                ),
                database=database,
                clock=clock,
                awaits_schema=late,
            )
            self._build(mount_options, app)
        except Exception as error:
            if not late:
                raise
            self._unusable = self._make_unusable(error)

    def _build(self, mount_options: MountOptions, app: ASGIApp) -> None:
        """Take over a guard directly inside, and build the runtime."""
        self.database = mount_options.database or DatabaseSignals()
        inner = app if isinstance(app, Middleware) else None
        if inner is not None:
            if inner.unusable_because is not None:
                raise inner.unusable_because
            mount_options = mount_options.joined(inner.mount_options)
            inner.release()
            self.database = mount_options.database or inner.database
            app = inner.app
        if mount_options.schema is None:
            mount_options = replace(mount_options, schema=next(filter(None, map(schema_of, chain(app))), None))
        if mount_options.clock is not None:
            mount_options = replace(mount_options, settings=mount_options.settings.by(mount_options.clock))
        self.app = on_graphql_paths(app, Middleware)
        self.mount_options = mount_options
        self.host = ProcessMonitor.of(mount_options.settings, inner.host if inner else None)
        self.host.fact_sources.offer(POOL, self.database.facts)
        self.reloader = RuntimeReloader(mount_options, self.host, self.database, on_runtime=self._serve_with)
        self._dispatcher = Dispatcher(self.reloader.runtime)

    def _serve_with(self, runtime: Runtime) -> None:
        """Decide requests that begin from now on with this runtime."""
        self._dispatcher.runtime = runtime

    @property
    def unusable_because(self) -> Exception | None:
        """The error for which this middleware answers every request with 503; None if it works."""
        return self._unusable.error if self._unusable is not None else None

    mount_options: MountOptions
    """The options of this middleware, joined with those of the inner middlewares that it has taken over."""
    host: ProcessMonitor
    """Watches the process: its memory, the app's caches, and facts that other parts offer, such as the pool's size."""

    def observe_cache(self, name: str, size: Callable[[], int], clear: Callable[[], Any] | None = None) -> None:
        """Count one of the app's caches in the metrics, and let operators clear it.

        ``size`` returns the bytes that the cache holds and is called every few seconds; ``clear`` empties the cache.
        Both are plain functions. A second call with the same name replaces the first.
        """
        self.host.caches.observe(name, size, clear)

    def collect_garbage(self) -> Collected:
        """Run Python's garbage collector now, and return what it found. No other code runs in the process meanwhile."""
        return collect_garbage()

    database: DatabaseSignals
    """Receives the app's reports about its database; shared by all middlewares that became one."""

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
    def _runtime(self) -> Runtime:
        return self._dispatcher.runtime

    @property
    def settings(self) -> Settings:
        """The settings in force, overrides included."""
        return self.reloader.settings

    @property
    def registry(self) -> CollectorRegistry:
        """The registry that holds the metrics."""
        return self._runtime.recorder.metrics.registry

    @property
    def runtime(self) -> Runtime:
        """The checks under the settings in force, with the store, recorder and caches that they use."""
        return self._runtime

    @property
    def recorder(self) -> RequestRecorder:
        """Records requests in metrics and log lines."""
        return self._runtime.recorder

    async def login_locked(self, identifier: str, request: Any) -> Lockout | None:
        """The lockout in force for a login identifier; None if the login may be tried (asgi/logins.py). ``request`` is
        Starlette's, or an ASGI scope."""
        return await logins(request, self).locked(identifier)

    async def report_login_failure(self, identifier: str, request: Any) -> Lockout | None:
        """Count a failed login; the lockout that it brought, None if it brought none (asgi/logins.py)."""
        return await logins(request, self).failed(identifier)

    async def report_login_success(self, identifier: str, request: Any) -> None:
        """Report a successful login: earlier failures of this identifier are forgotten (asgi/logins.py)."""
        await logins(request, self).succeeded(identifier)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        # The mark shows that a guard further outside has seen this scope.
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
        # A lifespan goes to the app, a request through the dispatcher.
        if scope["type"] == "lifespan":
            self._runtime.control.ensure_polling()  # a worker is seen, and obeys, before its first request
            hear, tell = self._end_live_at_shutdown(receive), self._follow_lifespan(send)
            await lead_lifespan(self.app, scope, hear, tell, warn=self._runtime.recorder.warn)
        else:
            await self._dispatcher.serve(self.app, scope, receive, send)

    async def _inside(self, around: Middleware, scope: Scope, receive: Receive, send: Send) -> None:
        """Decide by this guard's own settings about a request that an outer guard has let pass.

        Afterwards the scope holds what the outer guard had put there.
        """
        around.meet(self)
        outer, kept = context_of(scope), {name: scope[name] for name in (MARK, REQUEST) if name in scope}
        if outer is not None and not outer.guarded:
            self._runtime.tell(cover, outer, scope, self._runtime)
        if outer is not None and at_work(outer):
            outer.books, outer.accounts = around.runtime.books, around.runtime.accounts
        else:
            scope.pop(REQUEST, None)  # a socket, or a request served again after its end: no outer request
        del scope[MARK]
        self._has_lifespan |= scope["type"] == "lifespan"
        try:
            await self(scope, receive, send)
        finally:
            scope.update(kept)

    def meet(self, inner: Middleware) -> None:
        """Register a guard inside this guard's app, to log it once and to close it with this one."""
        if inner is not self and inner not in self._inner and inner.unusable_because is None:
            self._inner.add(inner)
            self._log_inner(inner.mount_options.names)

    def _log_inner(self, inner: tuple[str, ...]) -> None:
        if inner not in self._logged_inner:
            self._logged_inner.add(inner)
            self._runtime.recorder.warn(told(self.mount_options.names, inner))

    def _start(self, scope: Scope) -> None:
        """Start with the first scope, or become unusable: an exception here would not stop the server."""
        self._started = True
        if self._unusable is None:
            try:
                loop = running_loop()
                self._adopt_schema(scope.get("app"))
            except Exception as error:  # noqa: BLE001 - whatever it is, nothing may pass
                self._unusable = self._make_unusable(error)
                return
            # Inspect the app, and log what an operator should know about it.
            self._runtime.tell(self._runtime.neighbours.look, self.app)
            self._runtime.tell(name_server_errors, scope.get("app"))
            self._announce(scope)
            if made_for_one_route(self.app, scope):
                self._runtime.recorder.warn(ONE_EACH)
            if self._runtime.verifier is not None:
                self._runtime.tell(self._runtime.verifier.warm_up)
            self._check = loop.create_task(self._check_store())
            self._runtime.watch_host()

    def _announce(self, scope: Scope) -> None:
        """Log the start, and the guards inside the app."""
        announce(self._runtime, self.mount_options, self.app, scope=scope, guards=Middleware)
        with suppress(Exception):  # an app may show anything
            for names in names_inside(self.app, Middleware):
                self._log_inner(names)

    def _adopt_schema(self, host: Any) -> None:
        """Take over the schema of a FraiseQL app, and note whether several GraphQL endpoints stand behind this guard.

        A guard that is mounted with add_middleware sees that app only now, in the first scope.
        """
        found = self.mount_options
        if found.schema is None:
            schema = schema_of(host)
            if schema is not None or found.awaits_schema:
                found = replace(found, schema=schema, awaits_schema=False)
        if found.schema is not None and any(self._shows_several(app) for app in (self.app, host)):
            found = replace(found, several_endpoints=True)
        if found is not self.mount_options:
            self.mount_options = found
            self.reloader.adopt(found)

    def _shows_several(self, app: Any) -> bool:
        """Whether an app shows several endpoints that speak GraphQL behind this guard."""
        return len(self._runtime.tell(guarded_endpoints, app, self._runtime.paths) or ()) > 1

    async def _check_store(self) -> None:
        """Log the store's warnings (Store.check) in the background."""
        for sentence in await self._runtime.store.check():
            self._runtime.recorder.warn(sentence)

    def _end_live_at_shutdown(self, receive: Receive) -> Receive:
        async def hear() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":  # open sockets and streams would keep the server from ending
                self._runtime.live_watch.shut_down()
            return message

        return hear

    def _follow_lifespan(self, send: Send) -> Send:
        async def watch(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self._wait_for_documents()
                self._runtime.tell(self._runtime.neighbours.look, self.app)  # the app may have begun to trace
                if self.settings.gc_freeze:
                    freeze_startup_objects()
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                await self.aclose()
            await send(message)

        return watch

    async def _wait_for_documents(self) -> None:
        """Wait for the store's trusted documents: until it has them, a worker refuses every document."""
        trusted = self.reloader.components.documents.trusted
        if trusted is not None:
            trusted.ensure_polling()
            await trusted.wait_until_known(_DOCUMENTS_SECONDS)

    def flush(self) -> None:
        """Write deferred metrics and log lines now, so that both are complete. Waits one second at most.

        Without a call they are written within a fraction of a second.
        """
        self._count_deferred()
        self._runtime.recorder.log.flush()

    def _count_deferred(self) -> None:
        self._runtime.tell(self._runtime.refusal_cache.tell)
        self._runtime.tell(self._runtime.recorder.flush)

    async def reset(self, *, force: bool = False) -> None:
        """Forget what callers have done, between two tests: bucket levels, offences, automatic sanctions, the caches of
        refusals, documents and tokens, and which operations are at work. Operators' orders, metrics and log lines stay.

        No request may be at work meanwhile. On Redis a reset lifts the sanctions of the whole fleet that shares the
        namespace, so the namespace must contain ``test``, or ``force`` be true: SettingsError otherwise. StoreError if
        Redis does not answer.
        """
        settings = self.settings
        if settings.redis_url is not None and "test" not in settings.namespace.lower() and not force:
            raise SettingsError(
                f"{name_of('namespace')}={settings.namespace!r} may be shared by workers that serve: a reset would "
                f"lift their sanctions. Give tests a namespace of their own, {name_of('namespace')}=test, or call "
                "reset(force=True)"
            )
        await self.reloader.reset()

    # --- the end -----------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """End background tasks, close the store's connections and write the last log lines. The end of the lifespan
        calls this."""
        if self._check is not None:
            self._check.cancel()
        await self._runtime.live_watch.aclose()
        # End the background tasks, count what was deferred, then close what they use.
        await self._runtime.control.aclose()  # before the ticker, which it keeps running
        await self.host.periodic_task.aclose()
        self._count_deferred()
        await self.reloader.components.telemetry.notices.aclose()
        if self._runtime.verifier is not None:
            await self._runtime.verifier.aclose()
        if (trusted := self.reloader.components.documents.trusted) is not None:
            await trusted.aclose()
        await self.reloader.components.late_adjustments.aclose()
        await self.reloader.components.fleet.heartbeat.leave()
        await self._runtime.store.aclose()
        # Close inner guards that no lifespan reaches, and the log last.
        inside, self._inner = list(self._inner), WeakSet()
        for inner in inside:
            if not inner._has_lifespan:  # noqa: SLF001 - frameworks send a mounted app no lifespan
                await inner.aclose()
        self._runtime.recorder.log.close()

    def release(self) -> None:
        """Take the metrics out of the registry, since an outer guard has taken over."""
        self._runtime.recorder.metrics.close()

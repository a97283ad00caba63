"""Fetches a JWK set from a URL ahead of need, one fetch at a time, and uses it while its issuer is down.

Requests use the keys at hand. A request that finds them aging starts a fetch and does not wait for it. Only a token
that no key at hand has signed waits for a fetch, outside of the checks and for a bounded time.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Collection
from typing import Final
from urllib.parse import urlsplit

import httpx

from fraiseql_guard.core.key_forms import ALGORITHMS, is_loopback
from fraiseql_guard.core.loop_task import LoopTask
from fraiseql_guard.identity.jwk_set import MAX_SET_BYTES, read_jwk_set
from fraiseql_guard.identity.jws import Jws
from fraiseql_guard.identity.key_material import VerificationKey, kept
from fraiseql_guard.identity.key_sources import KeyObserver, Unobserved

COOLDOWN_SECONDS: Final = 30.0
"""Least time between two fetches, whether the first succeeded or failed: unknown kids must not start one each."""
STALE_SECONDS: Final = 86_400.0
"""Age up to which keys are used while their source fails."""
FETCH_SECONDS: Final = 5.0
MAX_WAITING: Final = 1_000
"""Most requests that wait for a fetch: forged tokens must not pile up while an issuer hangs."""


class JwksUrl:
    """The keys of an issuer, from its URL. ``refresh_seconds`` is the age from which keys are fetched again. ``clock``
    counts seconds and never goes back."""

    __slots__ = (
        "_attempted_at",
        "_clock",
        "_failing_since",
        "_failures",
        "_fetched_at",
        "_fetching",
        "_keys",
        "_known_problems",
        "_local",
        "_refresh_seconds",
        "_shown",
        "_tls",
        "_url",
        "_waiting",
        "algorithms",
        "observer",
    )  # fmt: skip

    fixed: Final = False

    def __init__(
        self,
        url: str,
        algorithms: Collection[str],
        *,
        refresh_seconds: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.observer: KeyObserver = Unobserved()
        self._url, self._clock, self._refresh_seconds = url, clock, refresh_seconds
        self._shown = url.partition("?")[0]  # some issuers want a token in the query
        # A set from the network never holds HMAC secrets: a public document must not be able to name one.
        self.algorithms = frozenset(name for name in algorithms if ALGORITHMS[name] != "oct")
        self._local = is_loopback(urlsplit(url).hostname or "")
        # Created once, since loading the certificates blocks the event loop.
        self._tls = httpx.create_ssl_context() if url.startswith("https:") else False
        self._keys: tuple[VerificationKey, ...] = ()
        self._fetched_at = self._attempted_at = -math.inf
        self._failures = 0
        self._failing_since: float | None = None
        self._known_problems: frozenset[str] = frozenset()
        self._fetching = LoopTask(self._fetch_set)
        self._waiting = 0

    def warm_up(self) -> None:
        """Start the first fetch, before any request needs a key."""
        if self._attempted_at == -math.inf:
            self._start_fetch()

    def keys(self) -> tuple[VerificationKey, ...]:
        """The keys at hand. Starts a fetch if they age, without waiting for it. Empty once the source has failed for a
        day."""
        now = self._clock()
        age = now - self._fetched_at
        # 1. Aging keys start a fetch. The last condition leaves the first fetch to warm_up.
        if age > self._refresh_seconds and now >= self._next_attempt_at() and self._attempted_at > -math.inf:
            self._start_fetch()
        # 2. After a day without an answer the issuer may have revoked them.
        if age > STALE_SECONDS and self._keys:
            self._keys = ()
        return self._keys

    @property
    def age_seconds(self) -> float | None:
        """Seconds since the set at hand was fetched; None without a set."""
        return self._clock() - self._fetched_at if self._keys else None

    def may_know(self, jws: Jws) -> bool:
        """Whether a newer set could hold the key of a token that no key at hand has signed."""
        if jws.algorithm not in self.algorithms:
            return False
        kid = jws.header.get("kid")
        # A token without a kid fits the keys at hand or none; only an unknown kid promises a newer set.
        return not self._keys or (kid is not None and all(key.kid != kid for key in self._keys))

    @property
    def retry_after_seconds(self) -> float:
        """Seconds until the next fetch may start, at least 1."""
        return max(1.0, self._next_attempt_at() - self._clock())

    async def fetch(self, timeout_seconds: float) -> bool:
        """Wait for the running fetch, or for a new one if it may start. True if it brought a set; False if it failed or
        took too long, and at once if none runs and it is too early for another."""
        if self._clock() >= self._next_attempt_at():
            self._start_fetch()
        fetch = self._fetching.here
        if fetch is None or fetch.done() or self._waiting >= MAX_WAITING:
            return False
        self._waiting += 1
        try:
            # asyncio.wait does not cancel the fetch after the timeout: other requests wait for it, too.
            await asyncio.wait([fetch], timeout=timeout_seconds)
        finally:
            self._waiting -= 1
        return fetch.done() and not fetch.cancelled() and fetch.result()

    async def aclose(self) -> None:
        """Cancel the running fetch."""
        await self._fetching.aclose()

    # --- when ---------------------------------------------------------------------------------------------------------

    def _next_attempt_at(self) -> float:
        """When the next fetch may start, by the clock: with keys at hand after 30 s, without any after 1, 2, 4, ...
        s."""
        if self._keys or not self._failures:
            return self._attempted_at + COOLDOWN_SECONDS
        # The exponent is capped before the power, which would overflow a float after a long outage.
        return self._attempted_at + min(COOLDOWN_SECONDS, 2.0 ** min(self._failures - 1, 10))

    def _start_fetch(self) -> None:
        try:
            fetch = self._fetching.here
        except RuntimeError:
            return  # without a loop no request is served
        # One fetch at a time, however many requests ask.
        if fetch is None or fetch.done():
            self._attempted_at = self._clock()
            self._fetching.ensure_running()

    # --- the fetch ---------------------------------------------------------------------------------------------------

    async def _fetch_set(self) -> bool:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                text = await self._download()
            found = read_jwk_set(text, self.algorithms)
            if not found.keys:  # an empty set must not replace a good one
                raise ValueError(f"holds no usable key: {'; '.join(found.problems) or 'it is empty'}")
        except Exception as error:  # noqa: BLE001 - whatever a network and a foreign server raise
            self._failed(_cause(error))
            return False
        self._arrived(found.keys, frozenset(found.problems))
        return True

    async def _download(self) -> bytes:
        """Download the body. Redirects are not followed, since keys must come from the configured address. Compression
        is refused, so that the bound on bytes bounds the memory."""
        headers = {"accept": "application/jwk-set+json, application/json", "accept-encoding": "identity"}
        async with (
            # A client for each fetch: minutes lie between them, and a kept connection would be stale.
            # A proxy of the environment cannot reach this machine's own loopback.
            httpx.AsyncClient(verify=self._tls, timeout=FETCH_SECONDS, trust_env=not self._local) as client,
            client.stream("GET", self._url, headers=headers, follow_redirects=False) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                moved = ", and redirects are not followed" if answer.is_redirect else ""
                raise ValueError(f"answers with status {answer.status_code}{moved}")
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise ValueError("answers compressed although it was asked not to")
            text = bytearray()
            async for chunk in answer.aiter_raw():
                text += chunk
                # Content-Length may be missing or wrong, so that the bytes themselves are counted.
                if len(text) > MAX_SET_BYTES:
                    raise ValueError(f"is larger than {MAX_SET_BYTES} bytes")
            return bytes(text)

    def _arrived(self, keys: tuple[VerificationKey, ...], problems: frozenset[str]) -> None:
        now = self._clock()
        self._keys, self._fetched_at = kept(self._keys, keys), now
        # Warn once for each change.
        if problems and problems != self._known_problems:
            self.observer.warn(
                f"the JWK set at {self._shown} holds keys that are not used: {'; '.join(sorted(problems))}"
            )
        self._known_problems, self._failures = problems, 0
        if self._failing_since is not None:
            self.observer.key_source_recovered("url", now - self._failing_since)
            self._failing_since = None

    def _failed(self, cause: str) -> None:
        self._failures += 1
        if self._failing_since is None:
            self._failing_since = self._clock()
        self.observer.key_source_failed("url", f"{self._shown} {cause}", bool(self._keys))


def _cause(error: Exception) -> str:
    if isinstance(error, ValueError):
        return str(error)
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return f"did not answer within {FETCH_SECONDS:.0f} s"
    return f"cannot be reached: {type(error).__name__}"

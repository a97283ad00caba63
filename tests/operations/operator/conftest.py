"""An operator on a store in memory."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from fraiseql_guard.core.settings import Settings
from fraiseql_guard.core.signals import Event
from fraiseql_guard.operations.operator.interface import Worker
from fraiseql_guard.operations.operator.lift_all import RETRY_SECONDS
from fraiseql_guard.operations.operator.store_operator import StoreOperator
from fraiseql_guard.stores import MemoryStore

WORKER = Worker(
    id="w", host="h", pid=1, version="1", started_at=0.0, seen_at=0.0, fingerprint="f", modes={}, breaker_open=False,
    token_keys={},
)  # fmt: skip


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def audited() -> list[tuple[str, dict[str, Any]]]:
    """Names and fields of the events that the operator's actions brought."""
    return []


@pytest.fixture
def make_operator(store: MemoryStore, audited: list[Any]) -> Callable[..., StoreOperator]:
    """An operator with settings of the test's own."""

    def make(*, retry_seconds: float = RETRY_SECONDS, **options: Any) -> StoreOperator:
        def audit(event: Event, fields: Mapping[str, Any]) -> None:
            audited.append((event.name, dict(fields)))

        return StoreOperator(store, Settings.load({}, **options), audit=audit, retry_seconds=retry_seconds)

    return make

"""What runs side by side, and what each row is compared with."""

from __future__ import annotations

from dataclasses import dataclass

BARE, BARE_FASTAPI, READY_REFUSAL = "bare app", "bare app, FastAPI route", "ready refusal"
LIMIT, LIMIT_TELLING = "physical limit", "physical limit + headers"
OURS, OURS_TRIP, OURS_MEMORY, OURS_REFUSAL = "ours", "ours, the trip alone", "ours, in memory", "ours, refusal"


@dataclass(frozen=True, slots=True)
class Variant:
    """One row. ``base`` is the row that its additions are counted from; ``faults``: whether Redis is taken from it."""

    name: str
    module: str
    base: str = BARE
    packages: tuple[str, ...] = ()
    status: int = 200
    faults: bool = True

    @property
    def is_base(self) -> bool:
        """Whether it is there for others to be compared with."""
        return self.name == self.base


VARIANTS = (
    Variant(BARE, "bare", base=BARE, faults=False),
    Variant(BARE_FASTAPI, "bare_fastapi", base=BARE_FASTAPI, faults=False),
    Variant(READY_REFUSAL, "ready_refusal", base=READY_REFUSAL, status=429, faults=False),
    Variant("slowapi", "slowapi", packages=("slowapi", "redis")),
    Variant("fastapi-guard", "fastapi_guard", packages=("fastapi-guard",)),
    Variant("fastapi-limiter", "fastapi_limiter", base=BARE_FASTAPI, packages=("fastapi-limiter", "redis")),
    Variant("fastapi-redis-sdk", "fastapi_redis_sdk", base=BARE_FASTAPI, packages=("fastapi-redis-sdk",)),
    Variant("limits", "limits", packages=("limits", "redis")),
    Variant("throttled-py", "throttled_py", packages=("throttled-py", "redis")),
    Variant(LIMIT, "physical_limit", faults=False),
    Variant(LIMIT_TELLING, "physical_limit_telling", faults=False),
    Variant(OURS_TRIP, "ours_trip", faults=False),
    Variant(OURS, "ours"),
    Variant(OURS_MEMORY, "ours_memory", faults=False),
    Variant(OURS_REFUSAL, "ours_refusal", base=READY_REFUSAL, status=429, faults=False),
)


def chosen(names: list[str] | None) -> list[Variant]:
    """The variants of these names, with their bases; all of them without names."""
    if not names:
        return list(VARIANTS)
    known = {variant.name: variant for variant in VARIANTS}
    wanted = {base for name in names for base in (name, known[name].base)}
    return [variant for variant in VARIANTS if variant.name in wanted]

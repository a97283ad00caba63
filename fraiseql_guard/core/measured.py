"""The measured content of a GraphQL request, in numbers and names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

OperationKind = Literal["query", "mutation", "subscription"]

_SUBSCRIPTIONS: Final = frozenset[OperationKind](["subscription"])


@dataclass(frozen=True, slots=True)
class Measured:
    """The content of a GraphQL request: each number is the largest over all operations that the app could run."""

    kind: OperationKind
    name: str | None
    root_fields: frozenset[str]
    """Names (not aliases) of all root fields of any operation, whatever @skip and @include say. The set is complete:
    decisions about who may call what rest on it."""
    root_field_count: int  # number of root fields, aliased ones included
    mutation_root_fields: int
    depth: int
    complexity: int
    list_size: int
    introspection: bool = False
    near: tuple[str, ...] = ()  # limits that are nearly used up, by option
    names: tuple[str, ...] = ()  # of every operation in every document
    unmeasured: int = 0  # elements of a batch that could not be measured
    kinds: frozenset[OperationKind] = frozenset()  # of all operations in every document
    offset: int = 0
    aliases: int = 0  # aliases that ask one object for the same field again
    most_root_fields: int = 0  # most root fields of a single operation

    @property
    def complete(self) -> bool:
        """Whether everything in the request was measured."""
        return not self.unmeasured

    @property
    def subscribes(self) -> bool:
        """Whether every operation is a subscription: one that lasts for as long as the client wants it."""
        return self.kinds == _SUBSCRIPTIONS and self.complete

    @property
    def mixes_subscriptions(self) -> bool:
        """Whether it may be a subscription and may be something else, whichever operation the app runs."""
        return "subscription" in self.kinds and not self.subscribes


def joint_hash(hashes: Sequence[str]) -> str | None:
    """The query_hash of a batch: the hex SHA-256 of its documents' hashes; None without a document."""
    return sha256("".join(hashes).encode()).hexdigest() if hashes else None

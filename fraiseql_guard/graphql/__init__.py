"""What a GraphQL request asks for, measured before the app sees it: bytes in, numbers or a refusal out."""

from fraiseql_guard.graphql.cost.measurer import MeasuredDocument
from fraiseql_guard.graphql.reader import Reader

__all__ = ["MeasuredDocument", "Reader"]

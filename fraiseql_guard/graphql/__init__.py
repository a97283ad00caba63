"""What a GraphQL request asks for, measured before the app sees it: bytes in, numbers or a refusal out."""

from fraiseql_guard.graphql.measurer import Reading
from fraiseql_guard.graphql.reader import Reader

__all__ = ["Reader", "Reading"]

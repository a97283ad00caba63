"""Measures a GraphQL request before the app receives it: bytes in, numbers or a refusal out."""

from fraiseql_guard.graphql.analyzer import RequestAnalysis
from fraiseql_guard.graphql.reader import Reader

__all__ = ["Reader", "RequestAnalysis"]

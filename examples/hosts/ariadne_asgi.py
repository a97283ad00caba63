"""Ariadne's ASGI app: ``uvicorn --no-proxy-headers main:app``."""

from typing import Any

from ariadne import ObjectType, QueryType, make_executable_schema
from ariadne.asgi import GraphQL
from graphql import GraphQLResolveInfo

from fraiseql_guard import Guard

type_defs = """
    type Query { whoami: String!  people(first: Int = 50): [Person!]! }
    type Person { name: String!  friends(first: Int = 50): [Person!]! }
"""
query, person = QueryType(), ObjectType("Person")


@query.field("whoami")
def resolve_whoami(_: Any, info: GraphQLResolveInfo) -> str:
    """Who is asking."""
    return info.context["request"].user.display_name or "anonymous"


@query.field("people")
@person.field("friends")
def resolve_people(_: Any, _info: GraphQLResolveInfo, first: int) -> list[dict[str, str]]:
    """People, and the friends of each."""
    return [{"name": "Ada"}] * min(first, 3)


schema = make_executable_schema(type_defs, query, person)
app = Guard(GraphQL(schema), schema=schema)

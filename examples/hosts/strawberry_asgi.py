"""Strawberry's own ASGI app: ``uvicorn --no-proxy-headers main:app``."""

import strawberry
from strawberry.asgi import GraphQL

from fraiseql_guard import Guard


@strawberry.type
class Person:
    """A person with friends."""

    name: str = "Ada"

    @strawberry.field
    def friends(self, first: int = 50) -> list["Person"]:
        return [Person()] * min(first, 3)


@strawberry.type
class Query:
    """The root of queries."""

    @strawberry.field
    def whoami(self, info: strawberry.Info) -> str:
        return info.context["request"].user.display_name or "anonymous"

    @strawberry.field
    def people(self, first: int = 50) -> list[Person]:
        return [Person()] * min(first, 3)


schema = strawberry.Schema(Query)
app = Guard(GraphQL(schema), schema=schema)

"""Litestar with Strawberry's controller: ``uvicorn --no-proxy-headers main:app``."""

import strawberry
from litestar import Litestar
from strawberry.litestar import make_graphql_controller

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
host = Litestar([make_graphql_controller(schema, path="/graphql")])
app = Guard(host, schema=schema)  # around the whole app: Litestar's own middleware belongs to single routes

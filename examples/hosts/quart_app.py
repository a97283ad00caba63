"""Quart with Strawberry's view: ``uvicorn --no-proxy-headers main:app``."""

import strawberry
from quart import Quart
from strawberry.quart.views import GraphQLView

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
        return info.context["request"].scope["user"].display_name or "anonymous"

    @strawberry.field
    def people(self, first: int = 50) -> list[Person]:
        return [Person()] * min(first, 3)


schema = strawberry.Schema(Query)
app = Quart(__name__)
app.add_url_rule("/graphql", view_func=GraphQLView.as_view("graphql", schema=schema))
app.asgi_app = Guard(app.asgi_app, schema=schema)  # app stays Quart's, for its command and its test client

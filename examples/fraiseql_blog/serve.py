"""``python -m examples.fraiseql_blog.serve``: the FraiseQL example with a PostgreSQL of its own."""

from __future__ import annotations

import os
from contextlib import nullcontext

from examples.fraiseql_blog.database import running_database
from examples.serving import DATABASE, Arguments, exit_on_signals, parse_arguments, serve

PACKAGE = "examples.fraiseql_blog"
DATABASE_URL = "FRAISEQL_DATABASE_URL"


def main(arguments: Arguments, package: str = PACKAGE) -> None:
    """Serve with the database that FRAISEQL_DATABASE_URL names, else with a new one that ends with this process."""
    exit_on_signals()
    existing = os.environ.get(DATABASE_URL)
    with nullcontext(existing) if existing else running_database() as url:
        os.environ[DATABASE_URL] = url
        print(f"{DATABASE}{url}", flush=True)
        serve(package, arguments)


if __name__ == "__main__":
    main(parse_arguments(f"{PACKAGE}.serve"))

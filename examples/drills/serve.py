"""``python -m examples.drills.serve``: the FraiseQL example as the drills need it."""

from __future__ import annotations

from examples.fraiseql_blog.serve import main
from examples.serving import parse_arguments

PACKAGE = "examples.drills"

if __name__ == "__main__":
    main(parse_arguments(f"{PACKAGE}.serve"), PACKAGE)

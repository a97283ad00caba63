"""``python -m examples.starlette_blog.serve``: the Starlette example."""

from __future__ import annotations

from examples.serving import Arguments, exit_on_signals, parse_arguments, serve

PACKAGE = "examples.starlette_blog"


def main(arguments: Arguments) -> None:
    """Serve until a signal comes."""
    exit_on_signals()
    serve(PACKAGE, arguments)


if __name__ == "__main__":
    main(parse_arguments(f"{PACKAGE}.serve"))

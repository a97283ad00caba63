"""``python -m tools.audit.batching.serve``: the blog that takes batches."""

from __future__ import annotations

from examples.serving import exit_on_signals, parse_arguments, serve

PACKAGE = "tools.audit.batching"

if __name__ == "__main__":
    exit_on_signals()
    serve(PACKAGE, parse_arguments(f"{PACKAGE}.serve"))

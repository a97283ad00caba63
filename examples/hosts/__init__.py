"""One small guarded app for each framework, as docs/hosts.md shows them."""

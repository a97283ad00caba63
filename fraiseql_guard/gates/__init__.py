"""Decisions: one file each. A gate reads the request's context and returns a Denial or None; nothing else happens."""

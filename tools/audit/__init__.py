"""Audits of GraphQL over HTTP, run against the Starlette example with and without the guard."""

"""fraiseql-guard: protections and operational signals for GraphQL on ASGI."""

"""A blog on FraiseQL 1.9 and a real PostgreSQL (CPython 3.13)."""

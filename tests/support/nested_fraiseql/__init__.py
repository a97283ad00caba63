"""A guarded FraiseQL app inside a main app that has a guard of its own."""

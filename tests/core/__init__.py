"""Tests of fraiseql_guard.stores."""

"""Real clients from npm against the guard: what their apps get to see of its refusals."""

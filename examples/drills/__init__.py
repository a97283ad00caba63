"""``make drills``: each runbook's incident on a real FraiseQL, from the first bad request to the verified recovery."""

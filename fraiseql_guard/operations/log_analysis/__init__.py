"""What the runbooks ask of the guard's log: who, how often, since when, attack or misconfiguration."""

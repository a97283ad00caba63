"""Operation of the guard: the operator's interface, its HTTP API and console, the fleet, runbooks, analysis of logs."""

"""What an operator sees and does: the interface, its HTTP API and console, the fleet, runbooks, the log read back."""

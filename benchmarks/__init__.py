"""What the guard costs, measured beside the alternatives. Never part of the tests: speed does not decide CI."""

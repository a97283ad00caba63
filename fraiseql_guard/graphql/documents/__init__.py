"""Documents that a request names by their hash: trusted ones, and those that clients register."""

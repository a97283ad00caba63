"""Computes the cost of an operation: from the schema, a plan of the document, and the price for one request."""

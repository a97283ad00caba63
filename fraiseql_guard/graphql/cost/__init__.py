"""What an operation costs: what the schema says, the plan of a document, its price for one request, and the limits."""

"""The blog of the Starlette example behind the guard, for clients that send their operations in batches."""

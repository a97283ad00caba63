"""Two GraphQL applications behind the guard, and a demo that drives traffic at one of them."""

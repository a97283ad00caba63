"""One file a variant: ``build(redis_url, per_hour)`` returns an ASGI app that admits so many requests an hour."""

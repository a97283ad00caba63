"""WebSockets and streams: what lives on after a request was let pass, until something ends it."""

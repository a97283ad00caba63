"""Who is asking: client addresses behind proxies, and users with a verified token."""

"""Real clients from npm of sockets and server-sent events: what they do when a server ends or refuses them."""

"""The FraiseQL example as a server of its own: FraiseQL is one application a process."""

PACKAGE = "tests.hosts.fraiseql_server"

"""``python -m tests.hosts.fraiseql_server.serve``: as the FraiseQL example is served."""

from examples.fraiseql_blog.serve import main
from examples.serving import parse_arguments
from tests.hosts.fraiseql_server import PACKAGE

if __name__ == "__main__":
    main(parse_arguments(f"{PACKAGE}.serve"), PACKAGE)

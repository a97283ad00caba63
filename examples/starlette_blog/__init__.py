"""A blog on Starlette and graphql-core, in memory: runs on every supported Python."""

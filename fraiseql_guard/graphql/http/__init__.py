"""Reads the envelope of a GraphQL request over HTTP strictly: in JSON, in a URL or in multipart."""

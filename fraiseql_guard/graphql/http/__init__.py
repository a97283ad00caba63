"""What a GraphQL request looks like in HTTP: its envelope in JSON, in a URL or in multipart, read strictly."""

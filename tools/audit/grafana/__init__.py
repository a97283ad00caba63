"""The dashboard, held against the schema that Grafana publishes as TypeScript."""

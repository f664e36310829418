"""/v2/health and /v2."""

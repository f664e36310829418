"""GET /api/version and /."""

"""POST /api/generate."""

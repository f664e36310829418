"""POST /api/pull."""

"""POST /api/chat."""

"""POST /v1/score."""

"""POST /llmos/v1/generate."""

"""POST /llmos/v1/likelihood."""

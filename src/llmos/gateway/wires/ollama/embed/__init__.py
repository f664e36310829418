"""POST /api/embed and /api/embeddings."""

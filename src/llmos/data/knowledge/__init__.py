"""Knowledge: versioned documents, cut into chunks and searchable."""

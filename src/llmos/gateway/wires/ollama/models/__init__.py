"""/api/tags, show, ps, copy and delete."""

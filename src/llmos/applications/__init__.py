"""Applications that are ready: each a room with its logic, and a template that `llmos app init` copies."""

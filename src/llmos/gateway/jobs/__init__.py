"""Work that the server does beside its requests: batches and rollouts."""

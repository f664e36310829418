"""Work that the server does besides its requests: batches, rollouts, and jobs such as downloads."""

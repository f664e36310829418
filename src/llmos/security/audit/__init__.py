"""The audit log: entries in a hash chain, signed checkpoints, and their verification."""

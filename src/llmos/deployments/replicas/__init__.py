"""Replicas on this machine: their processes, how they are restarted, and which of them gets a request."""

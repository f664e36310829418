"""Data that the server stores for callers: files, batches, responses. Knows no wire format and no HTTP."""

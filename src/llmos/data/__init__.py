"""What the server keeps for its callers. Knows documents and whose they are; knows no wire format and no HTTP."""

"""Applications in folders of their own: what is in one, and the process that serves it. It knows the client only."""

"""How much memory and time a model needs on this machine."""

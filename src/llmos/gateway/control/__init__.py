"""The control plane: one module of endpoints for each noun."""

"""Versions that run: replicas, pools of them, and the routes that lead to them."""

"""Rollouts: moving a route to a new version in steps, on evidence."""

"""Plans releases of applications: what would change, in words and in money."""

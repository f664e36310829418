"""Signatures of versions, and the keys that are trusted."""

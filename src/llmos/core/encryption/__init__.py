"""Envelope encryption of what is kept: master key → project keys → subject keys → data keys. docs/privacy.md."""

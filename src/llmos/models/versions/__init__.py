"""Versions, their aliases, labels and signatures in the database."""

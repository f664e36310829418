"""Purchases: what calls cost this installation at providers, compared with what the providers say."""

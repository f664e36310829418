"""Receipts: a signed document for each answer, and their verification."""

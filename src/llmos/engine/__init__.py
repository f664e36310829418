"""Tokens in, tokens out. Knows files and tensors; knows no user, no registry, no HTTP."""

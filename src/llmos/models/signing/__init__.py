"""Signatures: sign and verify versions, keep trusted keys, and enforce the policy require_signature."""

"""Billing: what was consumed, and what it costs. The ledger, usage, and prices."""

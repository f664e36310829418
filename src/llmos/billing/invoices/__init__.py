"""Invoices: what a project owes for a month. Numbered without gaps, never changed, derived from the ledger."""

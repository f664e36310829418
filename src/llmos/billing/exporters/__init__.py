"""Exporters: the entries of the ledger as events for OpenMeter, Lago, and whatever takes CloudEvents.

ledger ── in the order of its numbers, in batches ──▶ receiver      again with the same ids until it takes them
             └── an entry that the receiver refuses is set aside with the reason, and the rest goes on
"""

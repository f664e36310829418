"""Webhooks: messages to programs elsewhere, kept until they are delivered. Knows none of the rooms that send them.

event ── in the transaction of what happened ──▶ outbox ── signed, retried for a day ──▶ receiver
"""

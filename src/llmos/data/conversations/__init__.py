"""Conversations: kept for the one person who leads them, as trees of messages, encrypted."""

"""Models that others run: a request of ours in their wire format, their answer in our events."""

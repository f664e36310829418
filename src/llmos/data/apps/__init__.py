"""The data that is kept for applications: sessions, runs (the journal of what they did), and handoffs to persons."""

"""What is kept for applications: sessions, their conversations, and runs, the journal of what they did."""

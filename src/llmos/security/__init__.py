"""Authentication, permissions, and encrypted secrets."""

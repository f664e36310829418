"""Routes: the names that callers ask for, and how calls are shared among targets."""

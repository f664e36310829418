"""What every room may know: errors, settings, the database, ids, the clock."""

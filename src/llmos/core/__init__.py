"""Shared foundations: errors, settings, the database, jobs, schemas, ids, locks, the clock. Imports no other room."""

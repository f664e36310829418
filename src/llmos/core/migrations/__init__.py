"""The history of all tables, run by Database.upgrade(). A new revision is a new file in versions/."""

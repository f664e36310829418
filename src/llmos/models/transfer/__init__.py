"""Versions on their way in and out: pull, push, import, export."""

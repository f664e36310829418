"""Credit: what projects have paid in advance, less what their calls have cost."""

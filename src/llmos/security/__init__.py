"""Who may do what: authentication today."""

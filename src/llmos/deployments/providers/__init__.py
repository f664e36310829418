"""Models hosted by other providers: their credentials, wire formats and failures."""

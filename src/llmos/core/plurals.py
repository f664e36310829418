"""Numbers with their nouns in English."""


def counted(count: int, noun: str) -> str:
    """Return 1 document, 2 documents."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"

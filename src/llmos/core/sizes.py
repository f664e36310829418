"""Sizes in bytes, for people."""


def readable_size(num_bytes: int) -> str:
    """98362432 -> "98.4 MB"."""
    size = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"

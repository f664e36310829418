"""Notes on standard error while the client waits before it tries a call again."""

import logging
import sys


def show_retries() -> None:
    """Print why the client waits, and how long. Without a note, a key at its limit would look like a slow model."""
    logger = logging.getLogger("llmos.client")
    if not any(isinstance(handler, _NoteHandler) for handler in logger.handlers):
        logger.addHandler(_NoteHandler())
        logger.setLevel(logging.INFO)


class _NoteHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        print(f"Note: {record.getMessage()}", file=sys.stderr)

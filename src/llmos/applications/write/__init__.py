"""The application `write`: texts that use the facts of a brief, and mark figures that no source has."""

from llmos.applications.write.writer import Writer

__all__ = ["Writer"]

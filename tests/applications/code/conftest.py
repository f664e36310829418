"""The fixture that skips tests where the machine has no sandbox."""

from support.sandboxes import needs_sandbox

__all__ = ["needs_sandbox"]

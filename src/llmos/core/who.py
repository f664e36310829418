"""The user of this process, who is recorded as the actor of its changes."""

import os
import pwd


def this_user() -> str:
    """Return the name of this process's user, or "uid N" for a user without a name, which is common in containers."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"

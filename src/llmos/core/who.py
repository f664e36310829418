"""Who runs this process, for what is written down about a change."""

import os
import pwd


def this_user() -> str:
    """The name of this process's user, its number where it has none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # usual in containers
        return f"uid {os.getuid()}"

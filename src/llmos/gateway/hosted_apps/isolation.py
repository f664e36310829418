"""The command and the environment of an application's process.

With bubblewrap on the machine, the process has no sight of LLMOS_HOME, with its keys and its database, nor of the
server's process. Without it, the process has the rights of the server's user.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from llmos.core.errors import BadRequest

_MODULE = "llmos.hosting.process"
_INHERITED = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE")
"""The variables of the server that a process inherits. Keys and tokens are not among them."""
_SECRET = ("LLMOS_", "VAULT_", "HF_TOKEN", "DOCKER_CONFIG")
"""The server's own variables begin with these; no manifest gets them."""
_PROBE_SECONDS = 10


def command_of(home: Path, folder: Path, work: Path) -> tuple[Sequence[str], bool]:
    """Return the command of a process, and whether it is isolated.

    `home`: LLMOS_HOME. `folder`: that of the application, which it reads. `work`: the one that it may write to.
    """
    # -P: without it, a json.py in the current folder would be imported.
    python = [sys.executable, "-P", "-m", _MODULE]
    bubblewrap = find_bubblewrap()
    if bubblewrap is None:
        return python, False
    # The order matters: what is bound later is seen through what hides it.
    hidden = ["--bind", "/", "/", "--dev-bind", "/dev", "/dev", "--tmpfs", str(home)]
    shown = ["--ro-bind", str(folder), str(folder), "--bind", str(work), str(work)]
    for needed in (sys.prefix, str(Path(__file__).parents[3])):
        shown += ["--ro-bind", needed, needed] if Path(needed).is_relative_to(home) else []
    own = ["--unshare-pid", "--proc", "/proc", "--die-with-parent", "--chdir", str(work)]
    return [bubblewrap, *hidden, *shown, *own, "--", *python], True


def environment_of(work: Path) -> Mapping[str, str]:
    """Return the variables that a process is started with. What is secret comes by its standard input."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    own = {"HOME": str(work), "TMPDIR": str(work), "LLMOS_HOME": str(work / "home"), "PYTHONUNBUFFERED": "1"}
    return inherited | own


def variables_of(names: Sequence[str]) -> Mapping[str, str]:
    """Return the server's variables that a manifest lists, as far as they are set. Raises BadRequest for the server's
    own."""
    for name in names:
        if name.startswith(_SECRET):
            raise BadRequest(
                f"app.yaml: `environment` lists {name}, which is the server's own. Give the app a variable of another"
                " name.",
                param="environment",
            )
    return {name: os.environ[name] for name in names if name in os.environ}


@cache
def find_bubblewrap() -> str | None:
    """Return bubblewrap's path, if it works here: some containers forbid what it needs."""
    path = shutil.which("bwrap") if sys.platform == "linux" else None
    if path is None:
        return None
    probe = [path, "--bind", "/", "/", "--unshare-pid", "--proc", "/proc", "--", "true"]
    try:
        done = subprocess.run(probe, timeout=_PROBE_SECONDS, capture_output=True, env={"PATH": os.environ["PATH"]})
    except (OSError, subprocess.SubprocessError, KeyError):
        return None
    return path if done.returncode == 0 else None

"""Stages of a split model: in threads of this process, or in processes of their own, each behind a socket."""

import socket
import subprocess
import sys
import threading

from llmos.engine.messages import LoadStage
from llmos.engine.replica import stage_worker
from llmos.engine.stages import StageOrder


def order_of(connection, first, last, files, node="b", **config):
    """Return the order for a stage behind a connection."""
    paths = {name: str(path) for name, path in files.items()}
    return StageOrder(connection, LoadStage(node=node, first=first, last=last, files=paths, config=config))


def stage_in_thread(serve=stage_worker.main):
    """Return home's end of the connection to a stage that runs in a thread, until the connection ends."""
    ours, theirs = socket.socketpair()

    def run():
        with theirs:
            serve(theirs)

    threading.Thread(target=run, name="stage", daemon=True).start()
    return ours


def stage_process():
    """Return home's end of the connection to a stage, and its process."""
    ours, theirs = socket.socketpair()
    with theirs:
        fd = theirs.fileno()
        command = [sys.executable, "-m", "llmos.engine", "--stage", "--fd", str(fd)]
        return ours, subprocess.Popen(command, pass_fds=[fd], stderr=subprocess.PIPE, text=True)

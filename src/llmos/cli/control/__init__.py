"""The control port: what commands do, on this machine's database or on a server.

with open_control(load_settings()) as control:
    for model in control.models.list():
        print(model.version)
"""

from llmos.cli.control.opening import open_control
from llmos.cli.control.port import ControlPort
from llmos.cli.control.ports.models import MakeRequest

__all__ = ["ControlPort", "MakeRequest", "open_control"]

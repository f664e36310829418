"""The answers about the server: live, ready, and its metadata."""

from typing import Literal

import msgspec

from llmos import __version__


class ServerLive(msgspec.Struct):
    live: Literal[True] = True


class ServerReady(msgspec.Struct):
    ready: bool


class ServerMetadata(msgspec.Struct):
    name: Literal["llmos"] = "llmos"
    version: str = __version__
    extensions: list[str] = msgspec.field(default_factory=lambda: ["binary_tensor_data", "parameters", "generate"])

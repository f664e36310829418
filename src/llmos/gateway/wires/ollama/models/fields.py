"""The requests of /api/show, copy and delete."""

from llmos.core.errors import BadRequest
from llmos.gateway.http.requests import RequestObject
from llmos.gateway.wires.ollama.fields import strip_latest


class ModelRequest(RequestObject, kw_only=True):
    model: str = ""
    """A route, a model, or a reference to a version. `NAME:latest` means NAME."""
    name: str = ""
    """The deprecated name of `model`."""

    harmless = frozenset({"verbose"})

    def model_name(self) -> str:
        """Return the name. Raises BadRequest if it is missing."""
        if not (self.model or self.name):
            raise BadRequest("`model` is missing.", param="model")
        return strip_latest(self.model or self.name)


class CopyRequest(RequestObject, kw_only=True):
    source: str
    destination: str

"""Loading and unloading a model through a request without a prompt."""

from typing import Any

from llmos.gateway.calls.pipeline import Pipeline
from llmos.gateway.wires.ollama.answers import now
from llmos.security.callers import Caller


async def load_or_unload(pipeline: Pipeline, model: str, caller: Caller, must_unload: bool) -> dict[str, Any]:
    """Load the model, or unload it, and return the fields of the answer."""
    ref = await (pipeline.unload(model, caller) if must_unload else pipeline.load(model, caller))
    reason = "unload" if must_unload else "load"
    return {"model": ref, "created_at": now(), "done": True, "done_reason": reason}

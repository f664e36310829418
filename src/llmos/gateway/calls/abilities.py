"""What a model can't do, said before it is loaded for it, with one that can."""

import asyncio

from llmos.core.errors import BadRequest
from llmos.engine.architectures import families, is_encoder
from llmos.gateway.services import Services
from llmos.models.versions.versions import Version


async def check_writes(services: Services, version: Version) -> None:
    """Raises BadRequest for a model that writes no text, naming those that do."""
    if is_encoder(version.family):
        advice = await asyncio.to_thread(_advice, services, False)
        raise BadRequest(f"{version.ref} turns texts into vectors and writes none. {advice}", param="model")


async def check_embeds(services: Services, version: Version) -> None:
    """Raises BadRequest for a model that makes no vectors, naming those that do."""
    if not is_encoder(version.family):
        advice = await asyncio.to_thread(_advice, services, True)
        raise BadRequest(f"{version.ref} writes text and makes no vectors. {advice}", param="model")


def _advice(services: Services, is_wanted_encoder: bool) -> str:
    known = {family for family in families() if is_encoder(family) == is_wanted_encoder}
    names = sorted({each.model for each in services.registry.list() if each.family.replace("-", "_") in known})
    if names:
        return f"Ask for {' or '.join(names[:3])}."
    return f"No model here does. Get one: llmos pull {'minilm' if is_wanted_encoder else 'smollm2'}"

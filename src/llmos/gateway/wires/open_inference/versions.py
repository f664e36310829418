"""Versions of a model, by the number in a request's path."""

import asyncio

from llmos.core.errors import NotFound
from llmos.deployments.served_model import ServedModel
from llmos.gateway.services import Services


def version_number(served: ServedModel) -> str:
    """Return the number of a version, as the protocol has it. A provider's model has no number, and one version."""
    return str(served.number or 1)


async def find_version(services: Services, model: str, number: str | None) -> ServedModel:
    """Return the version with this number, or the one that the name stands for. Raises NotFound."""
    found = await asyncio.to_thread(services.routes.resolve_primary, model)
    if number is None or number == version_number(found):
        return found
    versions = await version_numbers(services, found)
    if number not in versions:
        raise NotFound(f"{found.model} has no version {number!r:.50}; it has {', '.join(versions)}.", param="version")
    return await asyncio.to_thread(services.routes.resolve_primary, f"{found.model}@{number}")


async def version_reference(services: Services, model: str, number: str) -> str:
    """Return the reference to call: that of the version, or the model's name if it has no numbers."""
    found = await find_version(services, model, number)
    return model if found.number is None else found.ref


async def version_numbers(services: Services, found: ServedModel) -> list[str]:
    """Return the numbers of all versions of the model."""
    if found.number is None:
        return [version_number(found)]
    versions = await asyncio.to_thread(services.registry.list)
    return [str(each.number) for each in versions if each.model == found.model]

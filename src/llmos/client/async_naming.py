"""Aliases, tags and descriptions of a noun with versions, for asyncio: the same calls as in naming.py, awaited."""

import builtins
from collections.abc import Mapping, Sequence
from typing import ClassVar

from llmos.client import naming_calls as calls
from llmos.client.async_control import AsyncNoun
from llmos.core.schemas.aliases import AliasMoveDescription
from llmos.core.schemas.labels import LabelChangeDescription, LabelsDescription


class AsyncVersionedNoun(AsyncNoun):
    """The calls about a noun whose names have versions."""

    _root: ClassVar[str]
    """The path of its endpoints."""

    async def aliases(self, name: str) -> builtins.list[AliasMoveDescription]:
        """Return the aliases of a name, each with its last move."""
        return await self._client._request(calls.list_aliases(self._root, name))

    async def alias_history(self, name: str, alias: str | None = None) -> builtins.list[AliasMoveDescription]:
        """Return the moves of an alias, or of all aliases of the name, oldest first."""
        return await self._client._request(calls.alias_history(self._root, name, alias))

    async def set_alias(
        self, name: str, alias: str, version: str, *, expected: str | None = None
    ) -> AliasMoveDescription:
        """Point an alias at a Version. `expected`: only if it points at this one now, else Conflict is raised."""
        return await self._client._request(calls.set_alias(self._root, name, alias, version, expected))

    async def remove_alias(self, name: str, alias: str) -> None:
        """Remove an alias; its history stays. Raises Conflict if something needs it, such as a deployment."""
        await self._client._request(calls.remove_alias(self._root, name, alias))

    async def labels(self, name: str) -> LabelsDescription:
        """Return the tags and the description of a name, or of a Version."""
        return await self._client._request(calls.get_labels(self._root, name))

    async def change_labels(
        self,
        name: str,
        *,
        tags: Mapping[str, str] | None = None,
        remove_tags: Sequence[str] = (),
        description: str | None = None,
    ) -> LabelsDescription:
        """Set and remove tags, and replace the description; what isn't given stays. An empty description removes it."""
        return await self._client._request(calls.change_labels(self._root, name, tags, remove_tags, description))

    async def label_history(self, name: str) -> builtins.list[LabelChangeDescription]:
        """Return every change, oldest first."""
        return await self._client._request(calls.label_history(self._root, name))


class AsyncAliases(AsyncNoun):
    """Movable names for Versions of models."""

    async def list(self, model: str) -> builtins.list[AliasMoveDescription]:
        """Return the model's aliases, each with its last move."""
        return await self._client.models.aliases(model)

    async def set(self, model: str, alias: str, version: str, *, expected: str | None = None) -> AliasMoveDescription:
        """Point an alias at a Version. `expected`: only if it points at this one now, else Conflict is raised."""
        return await self._client.models.set_alias(model, alias, version, expected=expected)

    async def history(self, model: str, alias: str | None = None) -> builtins.list[AliasMoveDescription]:
        """Return the moves of an alias, or of all aliases of the model, oldest first."""
        return await self._client.models.alias_history(model, alias)

    async def remove(self, model: str, alias: str) -> None:
        """Remove an alias; its history stays. Raises Conflict if a deployment or a Route needs it."""
        await self._client.models.remove_alias(model, alias)


class AsyncLabels(AsyncNoun):
    """Tags and descriptions of models (`smollm2`) and Versions (`smollm2@1`)."""

    async def get(self, name: str) -> LabelsDescription:
        return await self._client.models.labels(name)

    async def change(
        self,
        name: str,
        *,
        tags: Mapping[str, str] | None = None,
        remove_tags: Sequence[str] = (),
        description: str | None = None,
    ) -> LabelsDescription:
        """Set and remove tags, and replace the description; what isn't given stays. An empty description removes it."""
        return await self._client.models.change_labels(
            name, tags=tags, remove_tags=remove_tags, description=description
        )

    async def history(self, name: str) -> builtins.list[LabelChangeDescription]:
        """Return every change, oldest first."""
        return await self._client.models.label_history(name)

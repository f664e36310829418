"""The prompts on a server, for asyncio: the same calls as in prompts.py, awaited."""

import builtins
from collections.abc import Mapping
from typing import Any

from llmos.client import prompt_calls as calls
from llmos.client.async_naming import AsyncVersionedNoun
from llmos.core.schemas.models import RemovalDescription
from llmos.core.schemas.prompts import PromptDescription, PromptDetails, PromptDifference, RenderedPrompt


class AsyncPrompts(AsyncVersionedNoun):
    """The prompts of the key's project. A name is NAME, NAME:ALIAS, NAME@NUMBER or NAME@sha256:DIGEST."""

    _root = calls.ROOT

    async def create(
        self, name: str, text: str, *, variables: Mapping[str, Mapping[str, Any]] | None = None
    ) -> PromptDetails:
        """Make a Version, or return the one that is the same already.

        `text`: may begin with front matter, which says what its variables take. `variables`: the same as an object, in
        place of front matter: {"shop": {"type": "string"}}.
        """
        return await self._client._request(calls.create_prompt(name, text, variables))

    async def list(self) -> builtins.list[PromptDescription]:
        """Return every Version, without the texts."""
        return await self._client._request(calls.list_prompts())

    async def get(self, name: str) -> PromptDetails:
        """Return a Version with its text. Raises NotFound with similar names."""
        return await self._client._request(calls.get_prompt(name))

    async def remove(self, name: str) -> RemovalDescription:
        """Remove a whole prompt (NAME), a Version (NAME@3) or an alias (NAME:ALIAS)."""
        return await self._client._request(calls.remove_prompt(name))

    async def diff(self, older: str, newer: str) -> PromptDifference:
        """Return the lines that differ, and the variables that are new, gone, or take something else."""
        return await self._client._request(calls.compare_prompts(older, newer))

    async def render(self, name: str, variables: Mapping[str, Any] | None = None) -> RenderedPrompt:
        """Return the text with its variables. Raises BadRequest for one that is missing, unknown or wrong."""
        return await self._client._request(calls.render_prompt(name, variables or {}))

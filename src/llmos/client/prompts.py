"""The prompts on a server, with blocking calls."""

import builtins
from collections.abc import Mapping
from typing import Any

from llmos.client import prompt_calls as calls
from llmos.client.naming import VersionedNoun
from llmos.core.schemas.models import RemovalDescription
from llmos.core.schemas.prompts import PromptDescription, PromptDetails, PromptDifference, RenderedPrompt


class Prompts(VersionedNoun):
    """The prompts of the key's project. A name is NAME, NAME:ALIAS, NAME@NUMBER or NAME@sha256:DIGEST."""

    _root = calls.ROOT

    def create(
        self, name: str, text: str, *, variables: Mapping[str, Mapping[str, Any]] | None = None
    ) -> PromptDetails:
        """Make a Version, or return the one that is the same already.

        `text`: may begin with front matter, which says what its variables take. `variables`: the same as an object, in
        place of front matter: {"shop": {"type": "string"}}.
        """
        return self._client._request(calls.create_prompt(name, text, variables))

    def list(self) -> builtins.list[PromptDescription]:
        """Return every Version, without the texts."""
        return self._client._request(calls.list_prompts())

    def get(self, name: str) -> PromptDetails:
        """Return a Version with its text. Raises NotFound with similar names."""
        return self._client._request(calls.get_prompt(name))

    def remove(self, name: str) -> RemovalDescription:
        """Remove a whole prompt (NAME), a Version (NAME@3) or an alias (NAME:ALIAS)."""
        return self._client._request(calls.remove_prompt(name))

    def diff(self, older: str, newer: str) -> PromptDifference:
        """Return the lines that differ, and the variables that are new, gone, or take something else."""
        return self._client._request(calls.compare_prompts(older, newer))

    def render(self, name: str, variables: Mapping[str, Any] | None = None) -> RenderedPrompt:
        """Return the text with its variables. Raises BadRequest for one that is missing, unknown or wrong."""
        return self._client._request(calls.render_prompt(name, variables or {}))

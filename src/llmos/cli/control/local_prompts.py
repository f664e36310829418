"""Prompts of the project `owner` in this machine's database."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from llmos.cli.control.local_names import LocalNames
from llmos.core.schemas.models import RemovalDescription
from llmos.core.schemas.prompts import PromptDescription, PromptDetails, PromptDifference
from llmos.core.versioning.descriptions import describe_removal
from llmos.core.who import this_user

if TYPE_CHECKING:
    from llmos.cli.control.local import LocalControl
    from llmos.data.prompts.prompts import ProjectPrompts


class LocalPrompts(LocalNames):
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    @cached_property
    def names(self) -> "ProjectPrompts":
        from llmos.data.prompts.prompts import Prompts

        return Prompts(self._control.registry.database, self._control.registry.store).of()

    def list(self) -> Sequence[PromptDescription]:
        from llmos.data.prompts.descriptions import describe_version

        versions = self.names.list()
        labels = self.names.labels_of(versions)
        return [describe_version(version, labels) for version in versions]

    def get(self, name: str) -> PromptDetails:
        from llmos.data.prompts.descriptions import describe_details

        return describe_details(self.names.show(name))

    def create_from(self, name: str, file: Path) -> PromptDetails:
        from llmos.core.prompt_text import PromptText, read_prompt_file

        version = self.names.create(name, PromptText.parse(read_prompt_file(file), str(file)), actor=this_user())
        return self.get(version.ref)

    def diff(self, older: str, newer: str) -> PromptDifference:
        from llmos.data.prompts.comparing import compare

        first, second = self.names.resolve(older), self.names.resolve(newer)
        return compare(self.names.text(first), self.names.text(second))

    def remove(self, name: str) -> RemovalDescription:
        return describe_removal(self.names.remove(name, actor=this_user()))

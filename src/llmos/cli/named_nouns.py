"""The nouns whose names have versions, as the commands alias, tag and describe of each present them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from llmos.cli import options

if TYPE_CHECKING:
    from llmos.cli.control.port import ControlPort
    from llmos.cli.control.ports.names import NamesPort


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedNoun:
    word: str
    """The noun in the singular: "dataset"."""
    one: str
    """The noun with its article: "a dataset"."""
    alias: str
    """An alias for examples: "support:gold"."""
    names_of: "Callable[[ControlPort], NamesPort]"
    list_names: "Callable[[ControlPort], Iterable[str]]"
    complete: Callable[[str], list[str]] | None = None
    """Complete a reference for the shell."""
    set_note: str = ""
    """Follows in the help of `alias set`; those below, of `alias rm` and `tag`."""
    remove_note: str = ""
    tag_note: str = ""

    @property
    def metavar(self) -> str:
        return self.word.upper()

    def version_argument(self) -> Any:
        return typer.Argument(metavar=self.metavar, help=options.REFERENCE, autocompletion=self.complete)

    def subject_argument(self) -> Any:
        help = f"NAME for the {self.word}; NAME@3 or NAME:ALIAS for one version."
        return typer.Argument(metavar=self.metavar, help=help)

    def alias_argument(self) -> Any:
        return typer.Argument(metavar="NAME:ALIAS", help=f"The alias, such as {self.alias}.")

    def alias_or_name_argument(self) -> Any:
        return typer.Argument(metavar="NAME:ALIAS", help=f"An alias; or a {self.word}, for all of its aliases.")

    def optional_name_argument(self) -> Any:
        return typer.Argument(None, metavar=self.metavar, help=f"Only the aliases of this {self.word}.")


MODELS = NamedNoun(
    word="model",
    one="a model",
    alias="smollm2:prod",
    names_of=lambda control: control.models,
    list_names=lambda control: (each.name for each in control.models.list()),
    complete=options.complete_model,
    set_note=" Takes effect with the next request.",
    remove_note=" Fails if a deployment or a route needs it.",
    tag_note=" `llmos list --tag TAG` lists the models with a tag.",
)

DATASETS = NamedNoun(
    word="dataset",
    one="a dataset",
    alias="support:gold",
    names_of=lambda control: control.datasets,
    list_names=lambda control: (each.name for each in control.datasets.list()),
)

APPS = NamedNoun(
    word="app",
    one="an application",
    alias="support:prod",
    names_of=lambda control: control.apps,
    list_names=lambda control: (each.name for each in control.apps.list()),
)

PROMPTS = NamedNoun(
    word="prompt",
    one="a prompt",
    alias="support:prod",
    names_of=lambda control: control.prompts,
    list_names=lambda control: (each.name for each in control.prompts.list()),
)

KNOWLEDGE = NamedNoun(
    word="knowledge",
    one="knowledge",
    alias="faq:prod",
    names_of=lambda control: control.knowledge,
    list_names=lambda control: (each.name for each in control.knowledge.list()),
)

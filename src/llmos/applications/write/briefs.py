"""Briefs: what a text is to be about, for whom, how long, and what it must say."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llmos.apps.functions import faults_of
from llmos.core.errors import BadRequest

Task = Literal["write", "polish"]
Change = Literal["numbers", "names"]
Fact = Annotated[str, Field(min_length=1, max_length=500)]


class Brief(BaseModel):
    """The description of a text that is to be written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topic: Annotated[str, Field(min_length=1, max_length=2000)]
    audience: Annotated[str, Field(max_length=200)] = ""
    tone: Annotated[str, Field(max_length=200)] = ""
    words: Annotated[int, Field(ge=30, le=5000)] = 300
    sections: Annotated[int, Field(ge=1, le=12)] = 3
    facts: Annotated[list[Fact], Field(max_length=40)] = []
    """The facts that the text must use."""
    sources: Annotated[list[str], Field(max_length=40)] = []
    """Texts that it may rest on."""

    @property
    def known_texts(self) -> list[str]:
        """The texts whose figures are verified."""
        return [self.topic, self.audience, *self.facts, *self.sources]

    @property
    def words_per_section(self) -> int:
        return max(15, self.words // self.sections)


def brief_of(input: Any, variables: Mapping[str, Any]) -> Brief:
    """Return the brief: an object, also as JSON in a text, or the topic alone; `variables` have the rest.

    Raises BadRequest that names the field.
    """
    given = _object_of(input)
    try:
        return Brief.model_validate({**variables, **given})
    except ValidationError as error:
        raise BadRequest(f"The brief is wrong: {faults_of(error)}.", param="input") from None


def _object_of(input: Any) -> Mapping[str, Any]:
    if isinstance(input, str):
        text = input.strip()
        if not text.startswith("{"):
            return {"topic": text}
        try:
            input = json.loads(text)
        except ValueError as error:
            raise BadRequest(f"The brief begins like JSON but isn't valid: {error}.", param="input") from None
    if not isinstance(input, Mapping):
        raise BadRequest(f"The brief is {type(input).__name__}; it is an object, or a topic.", param="input")
    return input

"""Brains: functions that answer in place of the model."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from llmos.apps.functions import Function, faults_of
from llmos.apps.knowledge import PASSAGES_RULE, passages_text
from llmos.core.calling import call_anywhere
from llmos.core.errors import BadRequest
from llmos.core.schemas.knowledge import SearchHit, Sentence
from llmos.core.schemas.turns import Message


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """The answer that a brain may return in place of a text, or of an object of the app's `output` type."""

    text: str
    output: Any = None
    """By default the text."""
    sentences: Sequence[Sentence] = ()
    """The sentences of the text, with their citations."""
    notes: Sequence[str] = ()
    """Remarks for the reader of the answer."""
    abstained: bool = False
    """The text says that there is no answer."""


_PASSAGES = "passages"


class Brain:
    """A function, sync or async, or an async generator of pieces of text; a Reply among them says what else it has.

    It takes the input, and the messages before it if it has a second parameter. Parameters that can be given by name
    only are variables of the run; but `passages` is given those of the app's knowledge. Without that parameter, they
    stand before the question.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        parameters = inspect.signature(function).parameters.values()
        named = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
        names = [name for name in named if name != _PASSAGES]
        self.takes_messages, self._takes_passages = len([*parameters]) - len(named) > 1, _PASSAGES in named
        called = function if inspect.isroutine(function) else type(function).__call__
        self._is_async = inspect.iscoroutinefunction(called)
        self._is_generator = inspect.isasyncgenfunction(called)
        self._variables = Function(function, name=getattr(function, "__name__", "brain"), only=names) if names else None
        self.variables = frozenset(names)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The JSON schema of the variables."""
        return {} if self._variables is None else self._variables.parameters

    def bind(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return those that the function has, as it takes them. Raises BadRequest that names what is wrong."""
        if self._variables is None:
            return {}
        try:
            return self._variables.parse(
                json.dumps({name: variables[name] for name in self.variables & variables.keys()})
            )
        except (ValidationError, TypeError, ValueError) as error:
            fault = faults_of(error) if isinstance(error, ValidationError) else str(error)
            raise BadRequest(f"The variables of the run are wrong: {fault}.", param="variables") from None

    async def answer(
        self,
        input: Any,
        before: Sequence[Message],
        variables: Mapping[str, Any],
        on_text: Callable[[str], None],
        passages: Sequence[SearchHit] = (),
    ) -> Any:
        """Return what the function returns; of a generator, its Reply, or else its pieces as one text.

        Each piece is given to `on_text` first.
        `variables`: as bind() returns them.
        """
        if self._takes_passages:
            variables = {**variables, _PASSAGES: passages}
        elif passages:
            text = f"{PASSAGES_RULE}\n\n{passages_text(passages)}"
            input = [{"type": "text", "text": text}, *input] if isinstance(input, list) else f"{text}{input}"
        given = [input, before] if self.takes_messages else [input]
        if self._is_generator:
            pieces, reply = [], None
            async for piece in self._function(*given, **variables):
                if isinstance(piece, Reply):
                    reply = piece
                    continue
                pieces.append(str(piece))
                on_text(pieces[-1])
            return "".join(pieces) if reply is None else reply
        if self._is_async:
            return await self._function(*given, **variables)
        return await call_anywhere(lambda: self._function(*given, **variables))

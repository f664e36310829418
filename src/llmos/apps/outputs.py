"""Output: the type of answers."""

from typing import Any

from pydantic import TypeAdapter, ValidationError

from llmos.apps.errors import WrongOutput
from llmos.apps.functions import faults_of


class Output:
    """The type of an app's answers, or of what a call of a model gives."""

    def __init__(self, kind: Any) -> None:
        self._adapter: TypeAdapter[Any] = TypeAdapter(kind)
        self.schema = self._adapter.json_schema()

    def parse(self, text: str, finish_reason: str) -> Any:
        """Return the object that the answer is. Raises WrongOutput."""
        try:
            return self._adapter.validate_json(text)
        except ValidationError as error:
            advice = " It was cut: raise max_tokens." if finish_reason == "length" else ""
            raise WrongOutput(f"The answer doesn't fit the output: {faults_of(error)}.{advice}") from None

    def load(self, value: Any) -> Any:
        return self._adapter.validate_python(value)

    def dump(self, value: Any) -> Any:
        return self._adapter.dump_python(value, mode="json")

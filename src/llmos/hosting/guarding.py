"""Guarding: what goes into an application, and what comes out, passes the guardrails of its folder."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.apps import App
from llmos.core.yaml_text import read_yaml

if TYPE_CHECKING:
    from llmos.security.guardrails.policy import Policy


def guard(app: App, path: Path) -> None:
    """Check the questions and the answers of an app by the guardrails in a file. Raises BadRequest for wrong ones."""
    from llmos.security.guardrails.policy import open_policy

    policy = open_policy(app.name, 1, read_yaml(path.read_text(encoding="utf-8"), str(path)))
    if policy.input:
        app.check_questions(question_checker(policy))
    if policy.output:
        app.check_answers(answer_checker(policy))


def question_checker(policy: "Policy") -> Callable[[Any], Any]:
    """Return the check of an input: it returns it as it may be taken, and raises PromptBlocked."""
    from llmos.security.guardrails.screening import Screening

    def check(input: Any) -> Any:
        screened = iter(Screening([policy]).screen_prompt([*_texts(input)]))
        return _replaced(input, lambda text: next(screened))

    return check


def answer_checker(policy: "Policy") -> Callable[[str], str | None]:
    """Return the check of an answer: it returns it as it may be seen. None: it is blocked."""
    from llmos.security.guardrails.screening import Screening

    def check(text: str) -> str | None:
        screening = Screening([policy])
        channel = screening.open_channel()
        seen = channel.push(text) + channel.finish()
        return None if screening.has_blocked else seen

    return check


def _texts(value: Any) -> Iterator[str]:
    """Yield each text of a value, in the order of _replaced()."""
    texts: list[str] = []

    def collect(text: str) -> str:
        texts.append(text)
        return text

    _replaced(value, collect)
    yield from texts


def _replaced(value: Any, replace: Callable[[str], str]) -> Any:
    """Return a value with each of its texts replaced. Names of fields stay."""
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, dict):
        return {name: each if name == "role" else _replaced(each, replace) for name, each in value.items()}
    return [_replaced(each, replace) for each in value] if isinstance(value, list) else value

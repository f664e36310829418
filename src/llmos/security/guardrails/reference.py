"""What is said about the kinds of guardrails: their first lines, actions, sides and options."""

import ast
import inspect
import textwrap
from typing import Any

from llmos.security.guardrails.kinds import kinds, load_kind


def describe_kinds() -> list[dict[str, Any]]:
    """Return each kind with its description, sides, actions and {option: description}."""
    return [_described(name) for name in kinds()]


def _described(name: str) -> dict[str, Any]:
    kind = load_kind(name)
    text = inspect.getdoc(kind) or ""
    guardrail: Any = kind.GUARDRAIL
    return {
        "guardrail": name,
        "description": text.partition("\n\n")[0].replace("\n", " "),
        "sides": list(guardrail.sides),
        "actions": list(guardrail.actions),
        "options": _options(kind.Options),
    }


def _options(options: type) -> dict[str, str]:
    """Return the strings below the fields of a class."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(options))).body
    assert isinstance(tree, ast.ClassDef)
    described = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            described[field.target.id] = " ".join(ast.literal_eval(below.value).split())  # type: ignore[attr-defined]
    return described

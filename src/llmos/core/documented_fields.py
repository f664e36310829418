"""The descriptions of a class's fields: the strings below them, which Python itself doesn't keep."""

import ast
import inspect
import textwrap


def documented_fields(documented: type) -> dict[str, str]:
    """Return {field: the string below it} of a class, in order."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(documented))).body
    assert isinstance(tree, ast.ClassDef)
    described = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            described[field.target.id] = " ".join(ast.literal_eval(below.value).split())  # type: ignore[attr-defined]
    return described

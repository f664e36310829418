"""The calls about evals: what each sends and how its reply is read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from llmos.client.call import Call, read_each, read_one
from llmos.core.schemas.evals import EvalComparisonDescription, EvalRunDescription, EvalRunDetails

ROOT = "/llmos/v1/evals"

Suite = Mapping[str, Any] | Path


def start_eval(
    suite: Suite | None, dataset: str | None, models: Sequence[str], repeat: int | None
) -> Call[EvalRunDescription]:
    body: dict[str, Any] = {"models": list(models)}
    body |= {} if suite is None else {"suite": _document(suite)}
    body |= {} if dataset is None else {"dataset": dataset}
    body |= {} if repeat is None else {"repeat": repeat}
    return Call(method="POST", path=ROOT, body=body, read=read_one(EvalRunDescription))


def list_evals(suite: str | None, limit: int) -> Call[list[EvalRunDescription]]:
    query = {"limit": limit} | ({} if suite is None else {"suite": suite})
    return Call(method="GET", path=f"{ROOT}?{urlencode(query)}", read=read_each(EvalRunDescription))


def get_eval(id: str) -> Call[EvalRunDetails]:
    return Call(method="GET", path=f"{ROOT}/{quote(id, safe='')}", read=read_one(EvalRunDetails))


def compare_evals(first: str, second: str, not_worse_by: float) -> Call[EvalComparisonDescription]:
    query = urlencode({"to": second, "not_worse_by": not_worse_by})
    path = f"{ROOT}/{quote(first, safe='')}/comparison?{query}"
    return Call(method="GET", path=path, read=read_one(EvalComparisonDescription))


def remove_eval(id: str) -> Call[EvalRunDescription]:
    return Call(method="DELETE", path=f"{ROOT}/{quote(id, safe='')}", read=read_one(EvalRunDescription))


def _document(suite: Suite) -> Mapping[str, Any]:
    """Return the suite as it is sent. A file may be a list of cases alone."""
    if isinstance(suite, Mapping):
        return suite
    from llmos.core.yaml_text import read_yaml

    read = read_yaml(suite.read_text(encoding="utf-8"), str(suite))
    document = {"cases": read} if isinstance(read, list) else read
    return {"name": suite.stem, **document} if isinstance(document, dict) else {"cases": document}

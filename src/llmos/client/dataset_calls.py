"""The calls about datasets: what each sends and how its reply is read."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict
from urllib.parse import urlencode

from llmos.client.call import Call, DownloadCall, read_each, read_one
from llmos.client.naming_calls import name_path
from llmos.core.schemas.dataset_cleaning import OperatorDescription
from llmos.core.schemas.dataset_reports import DatasetReportDescription
from llmos.core.schemas.datasets import (
    DatasetDescription,
    DatasetDetails,
    DifferenceDescription,
    PreviewDescription,
    QueryDescription,
    RowDescription,
)
from llmos.core.schemas.jobs import JobDescription
from llmos.core.schemas.models import RemovalDescription

Operators = Sequence[Mapping[str, Any]]
"""A recipe: {"name": an operator, and its options}, in order."""

ROOT = "/llmos/v1/datasets"
UPLOADS = "/llmos/v1/dataset-uploads"


class ImportSettings(TypedDict, total=False):
    """The settings by which files become rows; what isn't given is recognized, or left as it is."""

    shape: str | None
    """The shape of the records, such as "sharegpt"."""
    mapping: Mapping[str, str]
    """{field: column of the files}."""
    on_error: Literal["stop", "skip"]
    license: str | None
    consent: str | None
    """The use that the rows are allowed for: "train", "eval" or "none"."""
    language: str | None
    split: str | None
    config: str | None


def list_datasets() -> Call[list[DatasetDescription]]:
    return Call(method="GET", path=ROOT, read=read_each(DatasetDescription))


def get_dataset(name: str) -> Call[DatasetDetails]:
    return Call(method="GET", path=_path(name), read=read_one(DatasetDetails))


def remove_dataset(name: str) -> Call[RemovalDescription]:
    return Call(method="DELETE", path=_path(name), read=read_one(RemovalDescription))


def read_rows(name: str, limit: int, skip: int) -> Call[list[RowDescription]]:
    query = urlencode({"limit": limit, "skip": skip})
    return Call(method="GET", path=f"{_path(name)}/rows?{query}", read=read_each(RowDescription))


def query_dataset(name: str, sql: str, limit: int) -> Call[QueryDescription]:
    body = {"sql": sql, "limit": limit}
    return Call(method="POST", path=f"{_path(name)}/query", body=body, read=read_one(QueryDescription))


def compare(older: str, newer: str, limit: int) -> Call[DifferenceDescription]:
    query = urlencode({"to": newer, "limit": limit})
    return Call(method="GET", path=f"{_path(older)}/diff?{query}", read=read_one(DifferenceDescription))


def add_answers(name: str, answers: Sequence[str], consent: str | None) -> Call[DatasetDescription]:
    body = {"answers": list(answers)} | ({} if consent is None else {"consent": consent})
    return Call(method="POST", path=f"{_path(name)}/answers", body=body, read=read_one(DatasetDescription))


def report_dataset(name: str, tokens: str | None, samples: int, mask: bool) -> Call[DatasetReportDescription]:
    fields = {"samples": samples, "mask": str(mask).lower()} | ({} if tokens is None else {"tokens": tokens})
    return Call(method="GET", path=f"{_path(name)}/report?{urlencode(fields)}", read=read_one(DatasetReportDescription))


def export_dataset(name: str, shape: str | None, has_columns: bool) -> DownloadCall:
    fields = {"columns": str(has_columns).lower()} | ({} if shape is None else {"shape": shape})
    return DownloadCall(path=f"{_path(name)}/export?{urlencode(fields)}")


def preview_import(files: Sequence[Mapping[str, str]], settings: ImportSettings) -> Call[PreviewDescription]:
    body = {"files": list(files), **_given(settings)}
    return Call(method="POST", path=f"{UPLOADS}/preview", body=body, read=read_one(PreviewDescription))


def start_import(
    name: str, files: Sequence[Mapping[str, str]], location: str | None, settings: ImportSettings
) -> Call[JobDescription]:
    what = {"files": list(files)} if location is None else {"location": location}
    body = {"kind": "dataset_import", "name": name, **what, **_given(settings)}
    return Call(method="POST", path="/llmos/v1/jobs", body=body, read=read_one(JobDescription))


def list_operators() -> Call[list[OperatorDescription]]:
    return Call(method="GET", path="/llmos/v1/dataset-operators", read=read_each(OperatorDescription))


def start_cleaning(dataset: str, operators: Operators, name: str | None) -> Call[JobDescription]:
    body = {"kind": "dataset_clean", "dataset": dataset, "operators": list(operators)}
    body |= {} if name is None else {"name": name}
    return Call(method="POST", path="/llmos/v1/jobs", body=body, read=read_one(JobDescription))


def start_check(dataset: str, operators: Operators) -> Call[JobDescription]:
    body = {"kind": "dataset_check", "dataset": dataset, "operators": list(operators)}
    return Call(method="POST", path="/llmos/v1/jobs", body=body, read=read_one(JobDescription))


def _given(settings: ImportSettings) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value not in (None, {})}


def _path(name: str) -> str:
    return name_path(ROOT, name)

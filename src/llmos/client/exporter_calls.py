"""The calls about exporters: what each sends and how its reply is read."""

from typing import Any
from urllib.parse import quote

from llmos.client.call import Call, read_each, read_nothing, read_one
from llmos.core.schemas.exporters import ExporterDescription, ExporterDetails, ExporterFields, ExporterTest

_PATH = "/llmos/v1/exporters"


def add_exporter(name: str, kind: str, url: str, fields: ExporterFields) -> Call[ExporterDescription]:
    body: dict[str, Any] = {"name": name, "kind": kind, "url": url, **fields}
    if (start := fields.get("start")) is not None:
        body["start"] = start.astimezone().isoformat()
    return Call(method="POST", path=_PATH, body=body, read=read_one(ExporterDescription))


def list_exporters() -> Call[list[ExporterDescription]]:
    return Call(method="GET", path=_PATH, read=read_each(ExporterDescription))


def get_exporter(name: str) -> Call[ExporterDetails]:
    return Call(method="GET", path=_of(name), read=read_one(ExporterDetails))


def test_exporter(name: str) -> Call[ExporterTest]:
    return Call(method="POST", path=f"{_of(name)}/test", read=read_one(ExporterTest))


def change_exporter(name: str, action: str) -> Call[ExporterDescription]:
    """`action`: pause, resume or retry."""
    return Call(method="POST", path=f"{_of(name)}/{action}", read=read_one(ExporterDescription))


def remove_exporter(name: str) -> Call[None]:
    return Call(method="DELETE", path=_of(name), read=read_nothing)


def _of(name: str) -> str:
    return f"{_PATH}/{quote(name, safe='')}"

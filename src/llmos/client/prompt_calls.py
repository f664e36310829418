"""The calls about prompts: what each sends and how its reply is read."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from llmos.client.call import Call, read_each, read_one
from llmos.client.naming_calls import name_path
from llmos.core.schemas.models import RemovalDescription
from llmos.core.schemas.prompts import PromptDescription, PromptDetails, PromptDifference, RenderedPrompt

ROOT = "/llmos/v1/prompts"


def create_prompt(name: str, text: str, variables: Mapping[str, Mapping[str, Any]] | None) -> Call[PromptDetails]:
    body: dict[str, Any] = {"name": name, "text": text}
    body |= {} if variables is None else {"variables": dict(variables)}
    return Call(method="POST", path=ROOT, body=body, read=read_one(PromptDetails))


def list_prompts() -> Call[list[PromptDescription]]:
    return Call(method="GET", path=ROOT, read=read_each(PromptDescription))


def get_prompt(name: str) -> Call[PromptDetails]:
    return Call(method="GET", path=name_path(ROOT, name), read=read_one(PromptDetails))


def remove_prompt(name: str) -> Call[RemovalDescription]:
    return Call(method="DELETE", path=name_path(ROOT, name), read=read_one(RemovalDescription))


def compare_prompts(older: str, newer: str) -> Call[PromptDifference]:
    path = f"{name_path(ROOT, older)}/diff?{urlencode({'to': newer})}"
    return Call(method="GET", path=path, read=read_one(PromptDifference))


def render_prompt(name: str, variables: Mapping[str, Any]) -> Call[RenderedPrompt]:
    body = {"variables": dict(variables)}
    return Call(method="POST", path=f"{name_path(ROOT, name)}/render", body=body, read=read_one(RenderedPrompt))

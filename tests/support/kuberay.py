"""KubeRay's RayCluster: its schema, and the pods that are in one."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

Manifest = dict[str, Any]

_SCHEMA = Path(__file__).parents[1] / "packaging" / "kuberay" / "raycluster-v1.schema.json"


def refuse_invalid_cluster(manifest: Manifest) -> None:
    """Raise jsonschema.ValidationError for what KubeRay's definition doesn't allow, unknown fields included."""
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayCluster"), "the schema is of nothing else"
    _validator().validate(manifest)


def ray_groups(cluster: Manifest) -> Iterator[tuple[str, Manifest]]:
    """Yield the name and the specification of the head's group and of those of the workers."""
    yield "head", cluster["spec"]["headGroupSpec"]
    for group in cluster["spec"]["workerGroupSpecs"]:
        yield group["groupName"], group


@cache
def _validator() -> Draft202012Validator:
    schema = json.loads(_SCHEMA.read_text())
    _close(schema)
    return Draft202012Validator(schema)


def _close(schema: Any) -> None:
    """Refuse unknown fields, which an API server drops, and allow what Kubernetes calls an IntOrString."""
    if isinstance(schema, list):
        for each in schema:
            _close(each)
    elif isinstance(schema, dict):
        is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
        if isinstance(schema.get("properties"), dict) and not is_open:
            schema["additionalProperties"] = False
        if schema.get("x-kubernetes-int-or-string"):
            schema["anyOf"] = [{"type": "integer"}, {"type": "string"}]
        for each in schema.values():
            _close(each)

"""Manifests of Kubernetes: what their schemas can't say about how they fit together and to LLMOS."""

import re
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from typing import Any

import click
import typer.main

from llmos.cli import build_app
from llmos.core.config import unknown_settings
from support.kuberay import ray_groups

Manifest = dict[str, Any]

_WORKLOADS = ("StatefulSet", "Deployment")


def find_problems(manifests: Sequence[Manifest]) -> list[str]:
    """Return a sentence for each name that leads nowhere, and for each setting or option that LLMOS doesn't have."""
    workloads = [each for each in manifests if each["kind"] in _WORKLOADS]
    workloads += [group for each in manifests if each["kind"] == "RayCluster" for group in _workloads_of_ray(each)]
    problems = [
        *_selectors(manifests, workloads),
        *_governing_services(manifests, workloads),
    ]
    for workload in workloads:
        pod = workload["spec"]["template"]["spec"]
        claims = workload["spec"].get("volumeClaimTemplates", [])
        volumes = {each["name"] for each in pod["volumes"]} | {each["metadata"]["name"] for each in claims}
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            where = f"{workload['metadata']['name']}/{container['name']}"
            problems += [f"{where}: {each}" for each in _in_container(container, volumes)]
        problems += _claims(pod, manifests)
    return problems


def _workloads_of_ray(cluster: Manifest) -> Iterator[Manifest]:
    """Yield each group as a workload. The autoscaler is a container of the head's pods."""
    for name, group in ray_groups(cluster):
        template = deepcopy(group["template"])
        if name == "head":
            autoscaler = {"name": "autoscaler", "env": []} | cluster["spec"]["autoscalerOptions"]
            template["spec"]["containers"].append(autoscaler)
        metadata = {"name": f"{cluster['metadata']['name']}/{name}"}
        yield {"kind": cluster["kind"], "metadata": metadata, "spec": {"template": template}}


def _selectors(manifests: Sequence[Manifest], workloads: Sequence[Manifest]) -> Iterator[str]:
    for each in manifests:
        spec, name = each.get("spec", {}), f"{each['kind']} {each['metadata']['name']}"
        if each["kind"] == "Service":
            chosen = _matching(spec["selector"], workloads)
            if len(chosen) != 1:
                yield f"{name} selects the pods of {len(chosen)} workloads"
            ports = {port["name"] for workload in chosen for port in _ports(workload)}
            numbers = {port["containerPort"] for workload in chosen for port in _ports(workload)}
            for port in spec.get("ports", []):
                if port.get("targetPort", port["port"]) not in ports | numbers:
                    yield f"{name} leads to the port {port.get('targetPort', port['port'])}, which its pods don't have"
        elif each["kind"] in ("PodDisruptionBudget", "NetworkPolicy", *_WORKLOADS):
            selector = spec.get("podSelector") or spec["selector"]
            if len(_matching(selector["matchLabels"], workloads)) != 1:
                yield f"{name} doesn't select the pods of one workload"
        elif each["kind"] == "HorizontalPodAutoscaler":
            target = spec["scaleTargetRef"]
            if (target["kind"], target["name"]) not in {(w["kind"], w["metadata"]["name"]) for w in workloads}:
                yield f"{name} scales {target['name']}, which there isn't"


def _governing_services(manifests: Sequence[Manifest], workloads: Sequence[Manifest]) -> Iterator[str]:
    headless = {
        each["metadata"]["name"]
        for each in manifests
        if each["kind"] == "Service" and each["spec"].get("clusterIP") == "None"
    }
    for each in workloads:
        if each["kind"] == "StatefulSet" and each["spec"]["serviceName"] not in headless:
            yield f"{each['metadata']['name']} has no headless service {each['spec']['serviceName']}"


def _claims(pod: Manifest, manifests: Sequence[Manifest]) -> Iterator[str]:
    claims = {each["metadata"]["name"] for each in manifests if each["kind"] == "PersistentVolumeClaim"}
    for volume in pod["volumes"]:
        claim = volume.get("persistentVolumeClaim", {}).get("claimName")
        if claim is not None and claim not in claims:
            yield f"there is no claim {claim}"


def _in_container(container: Manifest, volumes: set[str]) -> Iterator[str]:
    for mount in container["volumeMounts"]:
        if mount["name"] not in volumes:
            yield f"there is no volume {mount['name']}"
    yield from unknown_settings({each["name"]: "x" for each in container["env"]})
    security = container["securityContext"]
    if not security["readOnlyRootFilesystem"] or security["capabilities"] != {"drop": ["ALL"]}:
        yield "it may more than it needs"
    ports = {each["name"] for each in container.get("ports", [])}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container.get(probe, {})
        if asked and (asked.get("httpGet") or asked["tcpSocket"])["port"] not in ports:
            yield f"the {probe} asks a port that it doesn't have"
    for words in _commands(container):
        yield from _unknown_options(words)


def _commands(container: Manifest) -> Iterable[Sequence[str]]:
    """Yield the commands of LLMOS that the container runs, without `llmos`."""
    if "args" in container:
        yield container["args"]
    for script in container.get("command", [])[2:]:
        for line in re.findall(r"\bllmos ([^|\n>]+)", script):
            yield re.sub(r'"[^"]*"', "x", line).split()


def _unknown_options(words: Sequence[str]) -> Iterator[str]:
    command: Any = typer.main.get_command(build_app(words[0]))
    rest = [*words]
    while isinstance(command, click.Group) or hasattr(command, "commands"):
        name = rest.pop(0)
        if name not in command.commands:
            yield f"there is no command {' '.join(words)}"
            return
        command = command.commands[name]
    known = {option for parameter in command.params for option in parameter.opts}
    for option in [word.partition("=")[0] for word in rest if word.startswith("--")]:
        if option not in known:
            yield f"{command.name} has no option {option}"


def _matching(labels: dict[str, str], workloads: Sequence[Manifest]) -> list[Manifest]:
    return [each for each in workloads if labels.items() <= each["spec"]["template"]["metadata"]["labels"].items()]


def _ports(workload: Manifest) -> list[Manifest]:
    return [
        port for container in workload["spec"]["template"]["spec"]["containers"] for port in container.get("ports", [])
    ]


def find_compose_problems(compose: Manifest) -> list[str]:
    """Return the same of a Compose file, whose services but `database` are LLMOS."""
    services, problems = compose["services"], []
    for name, service in services.items():
        found = [
            f"there is no volume {each}"
            for each in (volume.partition(":")[0] for volume in service.get("volumes", []))
            if each not in compose["volumes"]
        ]
        for other, wait in service.get("depends_on", {}).items():
            if other not in services:
                found.append(f"there is no service {other}")
            elif wait["condition"] == "service_healthy" and services[other].get("healthcheck", {}).get("disable"):
                found.append(f"{other} has no health check")
        if name != "database":
            found += unknown_settings(dict.fromkeys(service.get("environment", {}), "x"))
            if not service["read_only"] or service["cap_drop"] != ["ALL"]:
                found.append("it may more than it needs")
            commands = _commands({"args": service["command"]} if "entrypoint" not in service else _script(service))
            found += [each for words in commands for each in _unknown_options(words)]
        problems += [f"{name}: {each}" for each in found]
    return problems


def _script(service: Manifest) -> Manifest:
    return {"command": [*service["entrypoint"], *service["command"]]}

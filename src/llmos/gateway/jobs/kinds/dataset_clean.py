"""The jobs `dataset_clean` and `dataset_check`: run a recipe over a Version of a dataset, or say what it would do."""

import shlex
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from llmos.core.config import Settings
from llmos.core.names import check_name
from llmos.data.datasets import open_datasets
from llmos.data.datasets.datasets import ProjectDatasets
from llmos.data.datasets.descriptions import describe_version
from llmos.data.datasets.versions import DatasetVersion
from llmos.data.operators.cleaning import clean, forecast
from llmos.data.operators.descriptions import describe_forecast
from llmos.data.operators.operator import Context as OperatorContext
from llmos.data.operators.recipe import Recipe, make_recipe
from llmos.gateway.http.requests import RequestObject
from llmos.gateway.jobs.kinds import Context, JobKind
from llmos.gateway.operator_context import operator_context
from llmos.models.registry import Registry
from llmos.security.permissions import Permission


class RecipeFields(RequestObject, kw_only=True):
    dataset: str
    """NAME, NAME:ALIAS, NAME@NUMBER or NAME@sha256:DIGEST."""
    operators: list[dict[str, Any]]
    """The recipe: {"name": an operator, and its options}, in order."""


class DatasetCleanJob(RecipeFields, kw_only=True):
    """Clean a dataset."""

    kind: Literal["dataset_clean"] = "dataset_clean"
    name: str | None = None
    """The dataset of the new Version. Default: the same."""


class DatasetCheckJob(RecipeFields, kw_only=True):
    """Say what a recipe would do."""

    kind: Literal["dataset_check"] = "dataset_check"


def _check_clean(settings: Settings, registry: Registry, request: DatasetCleanJob) -> DatasetCleanJob:
    make_recipe(request.operators)
    if request.name is not None:
        check_name(request.name, "a dataset")
    return request


def _check_check(settings: Settings, registry: Registry, request: DatasetCheckJob) -> DatasetCheckJob:
    make_recipe(request.operators)
    return request


def _opened(context: Context, request: RecipeFields) -> tuple[ProjectDatasets, DatasetVersion, Recipe, OperatorContext]:
    datasets = open_datasets(context.settings, context.registry.database).of(context.project)
    recipe, version = make_recipe(request.operators), datasets.resolve(request.dataset)
    return datasets, version, recipe, operator_context(context.registry, datasets)


def _clean(context: Context, request: DatasetCleanJob) -> Mapping[str, Any]:
    datasets, version, recipe, taken = _opened(context, request)
    made = clean(datasets, version, recipe, taken, name=request.name, actor=context.actor, progress=context.progress)
    described: dict[str, Any] = msgspec.to_builtins(describe_version(made, datasets.labels_of([made])))
    return described


def _forecast(context: Context, request: DatasetCheckJob) -> Mapping[str, Any]:
    datasets, version, recipe, taken = _opened(context, request)
    found = forecast(datasets.rows(version), version.num_rows, recipe, taken, context.progress)
    described: dict[str, Any] = msgspec.to_builtins(describe_forecast(version, recipe, found))
    return described


def _command(verb: str, request: RecipeFields) -> str:
    return shlex.join(["llmos", "dataset", verb, request.dataset, "--recipe", "FILE"])


DATASET_CLEAN = JobKind(
    name="dataset_clean",
    request=DatasetCleanJob,
    check=_check_clean,
    work=_clean,
    command=lambda request: _command("clean", request),
    permission=Permission.DATASETS_WRITE,
    resumes=True,
)

DATASET_CHECK = JobKind(
    name="dataset_check",
    request=DatasetCheckJob,
    check=_check_check,
    work=_forecast,
    command=lambda request: _command("check", request),
    permission=Permission.DATASETS_READ,
    resumes=True,
)

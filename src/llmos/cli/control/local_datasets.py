"""Datasets of the project `owner` in this machine's database."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from llmos.cli.control.local_names import LocalNames
from llmos.core.progress import Progress
from llmos.core.schemas.dataset_cleaning import ForecastDescription, OperatorDescription
from llmos.core.schemas.dataset_reports import DatasetReportDescription
from llmos.core.schemas.datasets import (
    DatasetDescription,
    DatasetDetails,
    DatasetExportDescription,
    DifferenceDescription,
    PreviewDescription,
    QueryDescription,
    RowDescription,
)
from llmos.core.schemas.models import RemovalDescription
from llmos.core.versioning.descriptions import describe_removal
from llmos.core.who import this_user

if TYPE_CHECKING:
    from typing import Unpack

    from llmos.cli.control.local import LocalControl
    from llmos.client.dataset_calls import ImportSettings, Operators
    from llmos.data.datasets.datasets import ProjectDatasets
    from llmos.data.datasets.folder import Layout


class LocalDatasets(LocalNames):
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    @cached_property
    def _datasets(self) -> "ProjectDatasets":
        from llmos.data.datasets import open_datasets

        return open_datasets(self._control.settings, self._control.registry.database).of()

    @property
    def names(self) -> "ProjectDatasets":
        return self._datasets

    def list(self) -> Sequence[DatasetDescription]:
        from llmos.data.datasets.descriptions import describe_version

        versions = self._datasets.list()
        labels = self._datasets.labels_of(versions)
        return [describe_version(version, labels) for version in versions]

    def get(self, name: str) -> DatasetDetails:
        from llmos.data.datasets.descriptions import describe_details

        return describe_details(self._datasets.show(name))

    def remove(self, name: str) -> RemovalDescription:
        return describe_removal(self._datasets.remove(name, actor=this_user()))

    def rows(self, name: str, *, limit: int = 10, skip: int = 0) -> Sequence[RowDescription]:
        from llmos.data.datasets.descriptions import describe_row

        return [describe_row(row) for row in self._datasets.head(self._datasets.resolve(name), limit, skip)]

    def query(self, name: str, sql: str, *, limit: int = 1000) -> QueryDescription:
        from llmos.data.datasets.descriptions import describe_result
        from llmos.data.datasets.querying import QueryLimits, run_query

        version = self._datasets.resolve(name)
        return describe_result(run_query(self._control.registry.store, version, sql, QueryLimits(rows=limit)))

    def diff(self, older: str, newer: str, *, limit: int = 20) -> DifferenceDescription:
        from llmos.data.datasets.comparing import compare
        from llmos.data.datasets.descriptions import describe_difference

        first, second = self._datasets.resolve(older), self._datasets.resolve(newer)
        return describe_difference(first, second, compare(self._control.registry.store, first, second, limit))

    def add_answers(self, name: str, answers: Sequence[str], *, consent: str | None = None) -> DatasetDescription:
        from llmos.data.datasets.descriptions import describe_version
        from llmos.gateway.answer_rows import add_answers

        made = add_answers(
            self._datasets,
            name,
            [self._control.answers.get(id, project=self._datasets.project) for id in answers],
            hash_subject=self._hash_subject,
            consent=consent,  # type: ignore[arg-type]
            actor=this_user(),
        )
        return describe_version(made, self._datasets.labels_of([made]))

    def report(
        self, name: str, *, tokens: str | None = None, samples: int = 5, mask: bool = False
    ) -> DatasetReportDescription:
        from llmos.data.reports.measuring import ReportOptions, make_report
        from llmos.gateway.operator_context import operator_context

        options = ReportOptions(tokens=tokens, samples=samples, mask=mask)
        return make_report(self._datasets, name, options, operator_context(self._control.registry, self._datasets))

    def preview(self, path: Path, **settings: "Unpack[ImportSettings]") -> PreviewDescription:
        from llmos.data.datasets.descriptions import describe_preview
        from llmos.data.datasets.folder import find_layout
        from llmos.data.datasets.importing import examine
        from llmos.data.datasets.records import ImportOptions

        return describe_preview(examine(find_layout(path, settings.get("config")), ImportOptions(**settings)))  # type: ignore[arg-type]

    def import_path(
        self, path: Path, name: str, progress: Progress, **settings: "Unpack[ImportSettings]"
    ) -> DatasetDescription:
        from llmos.data.datasets.folder import find_layout

        layout = find_layout(path, settings.get("config"))
        return self._import(layout, f"import:{path.name}", name, progress, settings)

    def import_location(
        self, location: str, name: str, progress: Progress, **settings: "Unpack[ImportSettings]"
    ) -> DatasetDescription:
        from llmos.data.datasets.fetching import fetched

        registry = self._control.registry
        with fetched(registry.store, location, settings.get("config"), registry.access, progress) as (layout, pinned):
            return self._import(layout, pinned, name, progress, settings)

    def _import(
        self, layout: "Layout", source: str, name: str, progress: Progress, settings: "ImportSettings"
    ) -> DatasetDescription:
        from llmos.data.datasets.descriptions import describe_version
        from llmos.data.datasets.importing import import_files
        from llmos.data.datasets.records import ImportOptions

        version = import_files(
            self._datasets,
            name,
            layout,
            ImportOptions(**settings),  # type: ignore[arg-type]
            source=source,
            hash_subject=self._hash_subject,
            actor=this_user(),
            progress=progress,
        )
        return describe_version(version, self._datasets.labels_of([version]))

    def _hash_subject(self, name: str) -> str:
        return self._control.keys_of_data.ring.index("subject", self._datasets.project, name)

    def operators(self) -> Sequence[OperatorDescription]:
        from llmos.data.operators.descriptions import describe_operators

        return describe_operators()

    def clean(
        self, name: str, operators: "Operators", progress: Progress, *, as_name: str | None = None
    ) -> DatasetDescription:
        from llmos.data.datasets.descriptions import describe_version
        from llmos.data.operators.cleaning import clean
        from llmos.data.operators.recipe import make_recipe
        from llmos.gateway.operator_context import operator_context

        recipe, version = make_recipe(operators), self._datasets.resolve(name)
        context = operator_context(self._control.registry, self._datasets)
        made = clean(self._datasets, version, recipe, context, name=as_name, actor=this_user(), progress=progress)
        return describe_version(made, self._datasets.labels_of([made]))

    def check(self, name: str, operators: "Operators", progress: Progress) -> ForecastDescription:
        from llmos.data.operators.cleaning import forecast
        from llmos.data.operators.descriptions import describe_forecast
        from llmos.data.operators.recipe import make_recipe
        from llmos.gateway.operator_context import operator_context

        recipe, version = make_recipe(operators), self._datasets.resolve(name)
        context = operator_context(self._control.registry, self._datasets)
        found = forecast(self._datasets.rows(version), version.num_rows, recipe, context, progress)
        return describe_forecast(version, recipe, found)

    def export_to(
        self, name: str, path: Path, progress: Progress, *, shape: str | None = None, columns: bool = True
    ) -> DatasetExportDescription:
        from llmos.data.datasets.descriptions import describe_export
        from llmos.data.datasets.exporting import export_file, export_folder
        from llmos.data.datasets.formats import is_data_file

        version = self._datasets.resolve(name)
        if path.is_dir() or not is_data_file(path.name):
            return describe_export(export_folder(self._datasets, version, path, shape=shape, progress=progress))
        exported = export_file(self._datasets, version, path, shape=shape, has_columns=columns, progress=progress)
        return describe_export(exported)

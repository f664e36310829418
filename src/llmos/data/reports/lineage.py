"""Lineage of a version: it, its parents, their parents and so on, as far as the project still has them."""

from collections.abc import Callable
from typing import Any

from llmos.core.schemas.dataset_reports import LineageStep
from llmos.data.datasets.datasets import ProjectDatasets
from llmos.data.datasets.versions import DatasetVersion

_MAX_STEPS = 100


def lineage_of(
    datasets: ProjectDatasets, version: DatasetVersion, mask: Callable[[str], str] = str
) -> list[LineageStep]:
    """Return the steps, the version's own first. `mask` is applied to texts about single lines of files."""
    known = {each.digest: each for each in datasets.list()} | {version.digest: version}
    steps: list[LineageStep] = []
    remaining, seen = [version.digest], {version.digest}
    while remaining and len(steps) < _MAX_STEPS:
        digest = remaining.pop(0)
        found = known.get(digest)
        steps.append(LineageStep(digest=digest) if found is None else _step(found, mask))
        fresh = [parent for parent in (found.parents if found else ()) if parent not in seen]
        seen.update(fresh)
        remaining += fresh
    return steps


def _step(version: DatasetVersion, mask: Callable[[str], str]) -> LineageStep:
    dropped: dict[str, dict[str, int]] = version.report.get("dropped", {})
    return LineageStep(
        digest=version.digest,
        version=version.ref,
        num_rows=version.num_rows,
        source=version.source,
        parents=list(version.parents),
        operators=list((version.recipe or {}).get("operators", [])),
        num_left_out={operator: sum(reasons.values()) for operator, reasons in dropped.items()},
        imported=_import_report(version, mask),
        made_by=version.made_by,
        created_at=version.created_at,
    )


def _import_report(version: DatasetVersion, mask: Callable[[str], str]) -> dict[str, Any]:
    """Return the part of a version's report that is about files."""
    report = {name: value for name, value in version.report.items() if name not in ("dropped", "replaced", "erased")}
    if "problems" in report:
        report["problems"] = [mask(problem) for problem in report["problems"]]
    return report

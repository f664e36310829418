"""Sentences and facts of a report, which its page and the command line share."""

from collections.abc import Mapping
from typing import Any

from llmos.core.schemas.dataset_reports import DatasetReportDescription, LengthsDescription, LineageStep
from llmos.core.sizes import readable_size

_DUPLICATE_OPERATORS = {"exact_duplicates": "exact", "near_duplicates": "near"}


def facts(report: DatasetReportDescription) -> dict[str, str]:
    """Return the facts of a version by their names."""
    found = {
        "digest": report.digest,
        "kind": report.kind,
        "rows": f"{report.num_rows:,}",
        "content": readable_size(report.content_bytes),
        "on disk": readable_size(report.size_bytes),
        "license": report.license or "",
        "source": report.source,
        "made by": report.made_by or "",
        "made": f"{report.created_at:%Y-%m-%d %H:%M} UTC" if report.created_at else "",
        "tags": ", ".join(f"{name}={value}" if value else name for name, value in report.tags.items()),
        "with a known person": f"{report.num_with_subject:,} rows" if report.num_with_subject else "",
        "erased since": f"{report.num_erased:,} rows of persons who were to be forgotten" if report.num_erased else "",
    }
    return {name: value for name, value in found.items() if value}


def repeated_text(report: DatasetReportDescription) -> str:
    """Return what is known of duplicates: those that are there, and those that cleanings left out."""
    match report.num_repeated:
        case None:
            there = "There are too many rows to count those with the same content."
        case 0:
            there = "No two rows have the same content."
        case count:
            there = f"{count:,} {'row has' if count == 1 else 'rows have'} the same content as an earlier one."
    left_out = {
        kind: sum(step.num_left_out.get(operator, 0) for step in report.lineage)
        for operator, kind in _DUPLICATE_OPERATORS.items()
    }
    gone = " and ".join(f"{count:,} {kind}" for kind, count in left_out.items() if count)
    return f"{there} Cleaning has left out {gone} duplicates." if gone else there


def lengths_text(lengths: LengthsDescription) -> str:
    """Return the lengths in a line."""
    return (
        f"{lengths.unit}: {lengths.least:,} to {lengths.most:,}, median {lengths.median:,},"
        f" 95 % of the rows up to {lengths.p95:,}"
    )


def step_text(step: LineageStep) -> str:
    """Return how a version was made, in a line."""
    if step.version is None:
        return ""
    when = f", {step.created_at:%Y-%m-%d}" if step.created_at else ""
    by = f", by {step.made_by}" if step.made_by else ""
    left_out = sum(step.num_left_out.values())
    return f"{step.source}{when}{by}" + (f"; {left_out:,} rows were left out" if left_out else "")


def operator_text(operator: Mapping[str, Any]) -> str:
    """Return an operator with its options: quality min_words=3."""
    options = [f"{name}={value}" for name, value in operator.items() if name not in ("name", "version")]
    return " ".join([str(operator.get("name", "")), *options])


def import_facts(step: LineageStep) -> dict[str, str]:
    """Return the facts of an import; none for a version that was made from others."""
    report = step.imported
    documents = report.get("documents", {})
    found = {
        "shape": str(report.get("shape", "")),
        "files": f"{report['files']:,}" if "files" in report else "",
        "skipped lines": f"{report['skipped']:,}" if report.get("skipped") else "",
        "columns left out": ", ".join(map(str, report.get("left_out", []))),
        "numbers kept as texts": ", ".join(f"{name}: {count:,}" for name, count in report.get("widened", {}).items()),
        "documents": f"{documents['count']:,}; {documents['kept']:.1%} of their text was kept" if documents else "",
    }
    return {name: value for name, value in found.items() if value}

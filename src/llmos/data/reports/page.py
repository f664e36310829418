"""A dataset's report as a self-contained HTML page without scripts, in light and dark."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from llmos.core.pages import plots
from llmos.core.pages.document import document, facts_table
from llmos.core.schemas.dataset_cleaning import LeftOutDescription
from llmos.core.schemas.dataset_reports import ColumnCounts, DatasetReportDescription, LengthsDescription, LineageStep
from llmos.data.reports.sample_rows import sample
from llmos.data.reports.texts import facts, import_facts, lengths_text, operator_text, repeated_text, step_text

_STYLE = """
.columns { display: grid; align-items: start; gap: 8px 40px;
  grid-template-columns: repeat(auto-fit, minmax(min(380px, 100%), 1fr)); }
.columns table { width: 100%; } .columns td:last-child { width: 96px; padding-right: 0; }
.columns th:first-child, .columns td:first-child { white-space: normal; overflow-wrap: anywhere; }
h3 { font-size: 15px; margin: 16px 0 4px; }
details { margin: 4px 0 8px; } summary { cursor: pointer; color: var(--dim); }
blockquote { margin: 6px 0; padding: 2px 0 2px 12px; border-left: 3px solid var(--line); }
.text { white-space: pre-wrap; overflow-wrap: anywhere; }
.row { border: 1px solid var(--line); border-radius: 6px; padding: 8px 14px; margin: 12px 0; }
.row .role { font-weight: 600; margin: 8px 0 0; } .row .text { margin: 0; }
code { font: 13px ui-monospace, monospace; overflow-wrap: anywhere; }
.lineage td { vertical-align: top; } .lineage .left { text-align: left; white-space: normal; }
.lineage ol { margin: 4px 0; padding-left: 20px; }
"""

_TITLES = {
    "file": "Files",
    "language": "Languages",
    "license": "Licenses",
    "consent": "Consent",
    "split": "Splits",
}


def page(report: DatasetReportDescription) -> str:
    """Return the page."""
    masked = "Placeholders stand for personal data in the texts of this page." if report.is_masked else ""
    return document(
        f"Report of {report.version}",
        [
            f"<h1>{escape(report.version)}</h1>",
            _paragraph(report.description or ""),
            facts_table(facts(report)),
            *_rows(report),
            *_lengths(report),
            *_left_out(report),
            *_lineage(report.lineage),
            *_imports(report.lineage),
            *_samples(report, masked),
        ],
        style=_STYLE,
    )


def _rows(report: DatasetReportDescription) -> list[str]:
    tables = [
        _counts(_TITLES.get(name, name), counts, report.num_rows)
        for name, counts in report.counts.items()
        if [each.value for each in counts.values] != [None]
    ]
    empty = [
        _TITLES.get(name, name).lower()
        for name, counts in report.counts.items()
        if [each.value for each in counts.values] == [None]
    ]
    missing = f"No row says anything about: {', '.join(empty)}." if empty else ""
    return [
        "<h2>Rows</h2>",
        _paragraph(repeated_text(report)),
        f'<div class="columns">{"".join(tables)}</div>',
        _paragraph(missing, "dim"),
    ]


def _counts(title: str, counts: ColumnCounts, num_rows: int) -> str:
    """Return a table of values with their rows and shares."""
    lines = [("–" if each.value is None else each.value, each.num_rows) for each in counts.values]
    lines += [("others", counts.num_others)] if counts.num_others else []
    body = "".join(
        f"<tr><td>{escape(value)}</td><td>{count:,}</td><td>{count / num_rows:.1%}</td>"
        f"<td>{plots.share_bar(count / num_rows)}</td></tr>"
        for value, count in lines
    )
    head = f'<tr><th scope="col">{escape(title)}</th><th scope="col">rows</th><th scope="col">share</th><td></td></tr>'
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


def _lengths(report: DatasetReportDescription) -> list[str]:
    of_all = report.num_measured >= report.num_rows
    measured = "all rows" if of_all else f"{report.num_measured:,} rows, chosen at random"
    figures = "".join(map(_histogram, report.lengths))
    return ["<h2>Lengths</h2>", _paragraph(f"Of {measured}.", "dim"), f'<div class="plots">{figures}</div>']


def _histogram(lengths: LengthsDescription) -> str:
    total = sum(lengths.counts)
    bins = [f"{_short(edge)}+" for edge in lengths.edges[:-1]]
    title = f"{lengths.unit.capitalize()} of a row" + (f", as {lengths.model} counts them" if lengths.model else "")
    shares = [count / total for count in lengths.counts]
    return plots.bars(title, [plots.Bars("share of rows", shares)], bins, x_label=lengths_text(lengths))


def _short(number: int) -> str:
    """Return a number in few characters: 4k for 4096."""
    for size, unit in ((1 << 20, "M"), (1 << 10, "k")):
        if number >= size and number % size == 0:
            return f"{number // size}{unit}"
    return f"{number:,}"


def _left_out(report: DatasetReportDescription) -> list[str]:
    if not report.left_out and not report.changed:
        return []
    total = sum(each.num_rows for each in report.left_out)
    changed = "".join(
        f"<li>{escape(each.operator)} changed {each.num_rows:,} rows: {escape(each.reason.replace('_', ' '))}</li>"
        for each in report.changed
    )
    return [
        "<h2>Cleaning</h2>",
        _paragraph(f"{total:,} rows of the parents were left out."),
        *map(_left_out_of, report.left_out),
        f"<ul>{changed}</ul>" if changed else "",
    ]


def _left_out_of(each: LeftOutDescription) -> str:
    examples = "".join(
        f'<blockquote><p class="text" dir="auto">{escape(row.text or "Its parent is no longer here.")}</p>'
        f'<p class="dim">{escape(row.detail or "")} <code>{escape(row.id[:12])}</code></p></blockquote>'
        for row in each.examples
    )
    title = f"<b>{each.num_rows:,}</b> by {escape(each.operator)}: {escape(each.reason.replace('_', ' '))}"
    return f"<details><summary>{title}</summary>{examples}</details>" if examples else f"<p>{title}</p>"


def _lineage(steps: Sequence[LineageStep]) -> list[str]:
    lines = "".join(
        f"<tr><td>{escape(step.version or f'{step.digest[:19]}… (removed)')}</td><td>{step.num_rows:,}</td>"
        f'<td class="left">{escape(step_text(step))}{_recipe(step.operators)}</td></tr>'
        for step in steps
    )
    head = '<tr><th scope="col">version</th><th scope="col">rows</th><th scope="col" class="left">made</th></tr>'
    return [
        "<h2>Lineage</h2>",
        f'<div class="scroll"><table class="lineage"><thead>{head}</thead><tbody>{lines}</tbody></table></div>',
    ]


def _recipe(operators: Sequence[Mapping[str, Any]]) -> str:
    items = "".join(f"<li>{escape(operator_text(each))}</li>" for each in operators)
    return f"<ol>{items}</ol>" if items else ""


def _imports(steps: Sequence[LineageStep]) -> list[str]:
    parts: list[str] = []
    for step in steps:
        if found := import_facts(step):
            problems = "".join(f"<li>{escape(str(each))}</li>" for each in step.imported.get("problems", []))
            parts += [
                f"<h3>{escape(step.version or step.digest)}</h3>",
                facts_table(found),
                f"<p>Lines that were skipped:</p><ul>{problems}</ul>" if problems else "",
            ]
    return ["<h2>Import</h2>", *parts] if parts else []


def _samples(report: DatasetReportDescription, masked: str) -> list[str]:
    if not report.samples:
        return []
    return ["<h2>Some rows</h2>", _paragraph(f"Chosen at random. {masked}", "dim"), *map(sample, report.samples)]


def _paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text.strip())}</p>' if text else ""

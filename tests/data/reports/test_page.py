"""The page of a report: self-contained, without scripts, and with every text escaped."""

from html.parser import HTMLParser

import pytest

from llmos.core.schemas.dataset_cleaning import LeftOutDescription, LeftOutRow
from llmos.core.schemas.dataset_reports import (
    ColumnCounts,
    DatasetReportDescription,
    LengthsDescription,
    LineageStep,
    ValueCount,
)
from llmos.core.schemas.datasets import RowDescription
from llmos.data.reports.page import page

HOSTILE = "<script>alert('x')</script>"


def report(**fields):
    lengths = LengthsDescription(unit="characters", least=1, median=2, p95=3, most=3, edges=[0, 2, 4], counts=[1, 2])
    row = RowDescription(id="ab" * 32, content={"text": HOSTILE}, origin=HOSTILE)
    example = LeftOutRow(id="cd" * 32, text=HOSTILE, detail=HOSTILE)
    known = {
        "version": "support@2",
        "num_rows": 3,
        "num_measured": 3,
        "num_repeated": 0,
        "source": HOSTILE,
        "description": HOSTILE,
        "tags": {HOSTILE: HOSTILE},
        "counts": {"language": ColumnCounts(values=[ValueCount(value=HOSTILE, num_rows=3)])},
        "lengths": [lengths],
        "left_out": [LeftOutDescription(operator=HOSTILE, reason=HOSTILE, num_rows=2, examples=[example])],
        "lineage": [
            LineageStep(
                digest="sha256:12",
                version="support@1",
                source=HOSTILE,
                operators=[{"name": HOSTILE, HOSTILE: HOSTILE}],
                imported={"shape": HOSTILE, "files": 1, "skipped": 1, "problems": [HOSTILE]},
            )
        ],
        "samples": [row],
    }
    return DatasetReportDescription(**{**known, **fields})


class Parsed(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.links, self.text = set(), [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.text += f"{data} "


def test_the_page_loads_nothing_and_has_no_script():
    found = Parsed(page(report()))
    assert "script" not in found.tags
    assert not found.links
    assert found.text.count(HOSTILE) >= 12
    assert "prefers-color-scheme: dark" in page(report())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            {
                "messages": [
                    {"role": "user", "content": "Where is it?"},
                    {"role": "assistant", "tool_calls": [{"function": {"name": "find", "arguments": "{}"}}]},
                ]
            },
            ["user", "Where is it?", "assistant", '"name": "find"'],
        ),
        (
            {
                "messages": [{"role": "user", "content": "2 + 2"}],
                "chosen": [{"role": "assistant", "content": "Four."}],
                "rejected": [{"role": "assistant", "content": "Five."}],
            },
            ["user", "2 + 2", "chosen: assistant", "Four.", "rejected: assistant", "Five."],
        ),
        ({"input": "2 + 2", "expected": [4]}, ["input", "2 + 2", "expected", "[4]"]),
        ({"text": "x" * 3000}, ["text", "… and 1,000 more characters"]),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "part"}]}]}, ['"text": "part"']),
    ],
    ids=["chat", "preference", "case", "long text", "parts"],
)
def test_rows_of_every_kind_are_readable(content, said):
    text = Parsed(page(report(samples=[RowDescription(id="ab" * 32, content=content)]))).text
    places = [text.index(each) for each in said]
    assert places == sorted(places)


def test_a_bare_report_gives_a_page():
    text = Parsed(page(DatasetReportDescription(version="support@1", num_rows=1, num_repeated=None))).text
    assert "too many rows" in text
    assert "Cleaning" not in text
    assert "Import" not in text


def test_a_removed_parent_and_a_part_that_was_measured_are_named():
    steps = [LineageStep(digest="sha256:" + "12" * 32)]
    text = Parsed(page(report(lineage=steps, num_rows=9, num_measured=3, is_masked=True))).text
    assert "sha256:121212121212… (removed)" in text
    assert "Of 3 rows, chosen at random." in text
    assert "Placeholders stand for personal data" in text

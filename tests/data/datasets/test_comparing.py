"""Comparisons: which rows went and came, and why."""

import json

from llmos.data.datasets.comparing import compare
from support.operating import text_row


def test_rows_that_went_and_came_are_named_with_their_reasons(datasets, store, write):
    older = write("keep", " trim ", "drop", "drop")
    keep, trim, drop, _ = datasets.rows(older)
    with datasets.writing("notes", "text", parents=[older], recipe={"operators": []}) as writer:
        writer.add(keep)
        writer.replace(trim, trim.map_texts(str.strip), "normalize", "spaces")
        writer.drop(drop, "quality", "too_short", "1 word; the least is 2")
        writer.add(text_row("new"))
        newer = writer.finish()
    found = compare(store, older, newer)
    assert (found.num_same, found.num_removed, found.num_added) == (1, 2, 2)
    removed = {json.loads(row.content)["text"]: row for row in found.removed}
    assert (removed["drop"].operator, removed["drop"].reason, removed["drop"].successor) == (
        "quality",
        "too_short",
        None,
    )
    assert removed["drop"].detail == "1 word; the least is 2"
    assert (removed[" trim "].reason, removed[" trim "].successor) == ("spaces", text_row("trim").id)
    assert {json.loads(row.content)["text"] for row in found.added} == {"trim", "new"}
    assert [row.reason for row in compare(store, newer, older).removed] == [None, None]
    assert len(compare(store, older, newer, limit=1).removed) == 1


def test_equal_versions_differ_in_nothing(store, write):
    version = write("one", "two")
    found = compare(store, version, version)
    assert (found.num_same, found.num_removed, found.num_added, found.removed, found.added) == (2, 0, 0, [], [])

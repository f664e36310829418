"""The files of a log: bounded, shared by processes, read by place, request, level and time."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llmos.core.errors import BadRequest
from llmos.core.log_files import NUM_FILES, LogFiles, LogFilter


def line(number: int, **fields: Any) -> dict[str, Any]:
    return {"time": f"2026-11-29T14:{number // 60:02d}:{number % 60:02d}Z", "level": "info", "number": number, **fields}


def numbers(files: LogFiles, **wanted: Any) -> list[int]:
    return [each["number"] for each in files.read(LogFilter(**wanted)).data]


@pytest.fixture
def files(tmp_path: Path) -> Iterator[LogFiles]:
    with closing(LogFiles(tmp_path / "logs", max_bytes=10_000)) as files:
        yield files


def test_lines_are_found_by_request_level_and_time(files: LogFiles) -> None:
    files.write(line(1, id="req_1"))
    files.write(line(2, id="answer-1", request="req_2", level="warning"))
    files.write(line(3, event="message", request="req_2", level="error"))
    assert numbers(files) == [1, 2, 3]
    assert numbers(files, request="req_2") == numbers(files, level="warning") == [2, 3]
    assert (numbers(files, request="answer-1"), numbers(files, level="error")) == ([2], [3])
    assert numbers(files, since=datetime(2026, 11, 29, 14, 0, 3, tzinfo=UTC)) == [3]
    assert numbers(files, limit=2) == [2, 3]


def test_lines_of_a_version_are_its_calls_and_the_events_of_its_deployment(files: LogFiles) -> None:
    files.write(line(1, event="request", version="smollm2@1", request="req_1"))
    files.write(line(2, event="request", version="smollm2@11"))
    files.write(line(3, event="deployment", deployment="smollm2@1"))
    files.write(line(4, event="message", message="smollm2@1 is gone"))
    assert numbers(files, version="smollm2@1") == [1, 3]
    assert numbers(files, version="smollm2@1", request="req_1") == [1]


def test_the_files_have_a_limit_and_the_oldest_lines_go(files: LogFiles) -> None:
    for number in range(1000):
        files.write(line(number))
    found = list(files.folder.glob("*.jsonl"))
    assert len(found) == NUM_FILES
    assert sum(path.stat().st_size for path in found) < 10_500
    kept = numbers(files, limit=1000)
    assert kept == list(range(kept[0], 1000))
    assert kept[0] > 0


def test_who_follows_gets_each_line_once_across_files(files: LogFiles) -> None:
    place, found = None, []
    for number in range(100):
        files.write(line(number))
        if number % 7 == 0:
            page = files.read(LogFilter(after=place, limit=1000))
            found, place = found + [each["number"] for each in page.data], page.next
    found += [each["number"] for each in files.read(LogFilter(after=place, limit=1000)).data]
    assert found == list(range(100))


def test_a_page_after_a_place_has_the_first_lines(files: LogFiles) -> None:
    files.write(line(0))
    place = files.read(LogFilter()).next
    for number in range(1, 6):
        files.write(line(number))
    page = files.read(LogFilter(after=place, limit=2))
    assert [each["number"] for each in page.data] == [1, 2]
    assert [each["number"] for each in files.read(LogFilter(after=page.next)).data] == [3, 4, 5]


def test_two_processes_write_the_same_files(files: LogFiles) -> None:
    with closing(LogFiles(files.folder, max_bytes=10_000)) as other:
        for number in range(0, 60, 2):
            files.write(line(number))
            other.write(line(number + 1))
    assert numbers(files, limit=1000) == list(range(60))


def test_a_line_that_was_cut_is_left_out(files: LogFiles) -> None:
    files.write(line(1))
    with (files.folder / "server.jsonl").open("ab") as file:
        file.write(b'{"time": \n')
        file.write(b'{"half')
    assert numbers(files) == [1]
    assert numbers(LogFiles(files.folder / "none", max_bytes=1)) == []


def test_a_disk_that_is_full_stops_nothing(files: LogFiles) -> None:
    files.folder.parent.joinpath("logs").write_text("in the way")
    files.write(line(1))


@pytest.mark.parametrize("wanted", [{"level": "loud"}, {"limit": 0}, {"after": "x"}])
def test_a_wrong_filter_is_named(files: LogFiles, wanted: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as error:
        files.read(LogFilter(**wanted))
    assert error.value.param in wanted

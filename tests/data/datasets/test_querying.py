"""Queries: SQL on rows; and what none reaches: files, the network, extensions, settings, more than its limits."""

import http.server
import threading

import pytest

from llmos.core.errors import BadRequest
from llmos.data.datasets import segments
from llmos.data.datasets.querying import QueryLimits, run_query
from support.operating import text_row

pytestmark = pytest.mark.process


@pytest.fixture
def version(write, monkeypatch):
    monkeypatch.setattr(segments, "TARGET_BYTES", 200)
    return write(*[text_row(f"text {n}", language=["de", "en"][n % 2] if n > 20 else None) for n in range(60)])


@pytest.fixture
def query(store, version):
    return lambda sql, **limits: run_query(store, version, sql, QueryLimits(**limits))


def test_rows_are_counted_over_all_segments(query, version):
    result = query("select language, count(*) from rows group by 1 order by 1")
    assert len(version.segments) > 3
    assert result.columns == ["language", "count_star()"]
    assert result.rows == [["de", 19], ["en", 20], [None, 21]]


def test_the_content_is_json(query):
    assert query("select content->>'text' from rows where content->>'text' like '%7' order by 1 limit 2").rows == [
        ["text 17"],
        ["text 27"],
    ]


def test_values_become_json(query):
    result = query(
        "select 'nan'::double, [1, 2], {'a': 1.5}, date '2026-01-01', 170141183460469231731687303715884105727"
    )
    assert result.rows == [[None, [1, 2], {"a": 1.5}, "2026-01-01", "170141183460469231731687303715884105727"]]


def test_rows_over_the_limit_are_cut_and_the_result_says_so(query):
    result = query("select id from rows", rows=7)
    assert (len(result.rows), result.is_cut) == (7, True)
    assert not query("select id from rows limit 7", rows=7).is_cut


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_text('/etc/passwd')",
        "select * from read_blob('{file}')",
        "select * from read_csv('{file}')",
        "select * from '{file}'",
        "select * from read_parquet('{file}')",
        "select * from glob('/etc/*')",
        "select * from read_json_objects('/proc/self/environ')",
        "select * from read_text('/dev/fd/0')",
        "select * from read_text('/proc/self/fd/3')",
        "select * from sniff_csv('{file}')",
        "select * from parquet_metadata('{file}')",
        "select * from read_text('sealed://{file}')",
        "select * from glob('sealed://*')",
        "select * from read_parquet('sealed://1/1')",
    ],
)
def test_no_file_is_read(query, tmp_path, sql):
    file = tmp_path / "secret.csv"
    file.write_text("secret")
    with pytest.raises(BadRequest) as caught:
        query(sql.format(file=file))
    assert "secret\n" not in caught.value.message
    assert "root:" not in caught.value.message


@pytest.mark.parametrize(
    "sql",
    [
        "copy rows to '{file}'",
        "copy (select 1) to '/dev/fd/3'",
        "export database '{file}'",
        "attach '{file}' as other",
        "create table t as select 1",
        "insert into rows values (1)",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "set lock_configuration = false",
        "reset lock_configuration",
        "set allowed_paths = ['/']",
        "set memory_limit = '100GB'",
        "pragma memory_limit = '100GB'",
        "call duckdb_settings()",
        "select 1; select 2",
        "with t as (select 1) insert into rows select * from t",
        "explain analyze select 1",
        "",
    ],
)
def test_nothing_but_one_select_runs(query, tmp_path, sql):
    with pytest.raises(BadRequest, match=r"Write one SELECT statement|Parser Error"):
        query(sql.format(file=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_nothing_tells_what_the_environment_has(query, monkeypatch):
    monkeypatch.setenv("LLMOS_API_KEY", "a secret")
    assert "a secret" not in str(query("select * from duckdb_settings()").rows)
    with pytest.raises(BadRequest):
        query("select getenv('LLMOS_API_KEY')")


def test_no_network_is_reached(query):
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)

        do_HEAD = do_GET

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        for scheme in ("http", "https", "s3", "hf"):
            with pytest.raises(BadRequest):
                query(f"select * from read_csv('{scheme}://127.0.0.1:{server.server_port}/a.csv')")
        server.shutdown()
        thread.join()
    assert not requests


def test_a_query_over_its_time_ends(query):
    with pytest.raises(BadRequest, match="takes longer than 1 seconds"):
        query("select count(*) from range(1000000) a, range(1000000) b where a.range + b.range = 7", seconds=1)


def test_a_query_over_its_memory_ends(query):
    with pytest.raises(BadRequest, match=r"(?i)memory"):
        query("select list(range) from range(100000000)", memory_bytes=64 << 20)


def test_a_large_result_is_refused(query):
    with pytest.raises(BadRequest, match="more than 1,000 bytes"):
        query("select repeat('x', 2000)", result_bytes=1000)


def test_a_wrong_query_says_what_there_is(query):
    with pytest.raises(BadRequest, match="The table is `rows`, with the columns id, content"):
        query("select langage from rows")
    with pytest.raises(BadRequest, match="Parser Error"):
        query("selekt 1")

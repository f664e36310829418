"""Traces of calls: their spans, whose part they are, what they don't have, and a collector that receives them."""

import gzip
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from llmos.core.config import load_settings
from llmos.core.errors import PromptTooLong
from llmos.gateway.app import create_app
from llmos.gateway.calls.tracing_sink import TracingSink
from llmos.gateway.services import Services
from llmos.gateway.tracing import open_tracing
from support.pipelines import with_parts
from support.scripted import KEY, FakePool

pytestmark = [pytest.mark.anyio, pytest.mark.own_gateway]

CHAT: dict[str, Any] = {
    "model": "dialogue",
    "messages": [{"role": "user", "content": "a secret"}],
    "max_tokens": 9,
    "temperature": 0.5,
}
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
async def traced(services: Services, exporter: InMemorySpanExporter) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway whose spans the exporter keeps."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    transport = httpx.ASGITransport(create_app(with_parts(services, sinks=[TracingSink(provider)])))
    async with httpx.AsyncClient(transport=transport, base_url="http://llmos", headers={"x-api-key": KEY}) as client:
        yield client


def spans_of(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


async def test_a_call_is_a_span_with_one_for_each_phase(
    traced: httpx.AsyncClient, exporter: InMemorySpanExporter
) -> None:
    reply = await traced.post("/v1/chat/completions", json=CHAT)
    spans = spans_of(exporter)
    call, attempt = spans["chat dialogue"], spans["attempt smollm2@1"]
    assert call.parent is None
    assert attempt.parent is not None
    assert call.context is not None
    assert attempt.context is not None
    assert attempt.parent.span_id == call.context.span_id
    for phase in ("prefill", "decode"):
        parent, phase_span = spans[phase].parent, spans[phase]
        assert parent is not None
        assert parent.span_id == attempt.context.span_id
        assert attempt.start_time <= phase_span.start_time <= phase_span.end_time <= call.end_time  # type: ignore[operator]
    attributes = dict(call.attributes or {})
    assert attributes["gen_ai.operation.name"] == "chat"
    assert attributes["gen_ai.request.model"] == "dialogue"
    assert attributes["gen_ai.response.model"] == "smollm2@1"
    assert attributes["gen_ai.response.id"] == reply.json()["id"]
    assert (attributes["gen_ai.request.max_tokens"], attributes["gen_ai.request.temperature"]) == (9, 0.5)
    usage = reply.json()["usage"]
    assert attributes["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]
    assert attributes["gen_ai.usage.output_tokens"] == usage["completion_tokens"]
    assert attributes["llmos.request_id"] == reply.headers["x-request-id"]


async def test_no_text_of_a_caller_is_in_a_trace(traced: httpx.AsyncClient, exporter: InMemorySpanExporter) -> None:
    reply = await traced.post("/v1/chat/completions", json=CHAT)
    answer = reply.json()["choices"][0]["message"]["content"]
    written = "".join(span.to_json() for span in exporter.get_finished_spans())
    assert "secret" not in written
    assert answer not in written


async def test_the_call_is_a_part_of_the_trace_that_its_request_names(
    traced: httpx.AsyncClient, exporter: InMemorySpanExporter
) -> None:
    await traced.post("/v1/chat/completions", json=CHAT, headers={"traceparent": f"00-{TRACE}-{SPAN}-01"})
    call = spans_of(exporter)["chat dialogue"]
    assert call.context is not None
    assert call.parent is not None
    assert f"{call.context.trace_id:032x}" == TRACE
    assert f"{call.parent.span_id:016x}" == SPAN


@pytest.mark.parametrize("header", ["", "nonsense", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01" * 100])
async def test_a_wrong_traceparent_begins_a_trace_and_hurts_nobody(
    traced: httpx.AsyncClient, exporter: InMemorySpanExporter, header: str
) -> None:
    reply = await traced.post("/v1/chat/completions", json=CHAT, headers={"traceparent": header})
    assert reply.status_code == 200
    assert spans_of(exporter)["chat dialogue"].parent is None


async def test_a_call_that_fails_has_the_code_of_its_error(
    traced: httpx.AsyncClient, exporter: InMemorySpanExporter, pool: FakePool
) -> None:
    pool.enqueue(PromptTooLong("too long"))
    await traced.post("/v1/chat/completions", json=CHAT)
    call = spans_of(exporter)["chat dialogue"]
    assert (call.status.status_code, call.status.description) == (StatusCode.ERROR, "context_length_exceeded")
    assert dict(call.attributes or {})["error.type"] == "context_length_exceeded"


class Collector:
    """Receives traces over OTLP, as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.received: list[ExportTraceServiceRequest] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces"
                collector.received.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


async def test_a_collector_receives_the_spans(services: Services, collector: Collector) -> None:
    settings = load_settings({"LLMOS_OTLP_ENDPOINT": collector.url})
    tracing = open_tracing(settings)
    assert tracing is not None
    transport = httpx.ASGITransport(create_app(with_parts(services, sinks=[tracing])))
    async with httpx.AsyncClient(transport=transport, base_url="http://llmos", headers={"x-api-key": KEY}) as client:
        assert (await client.post("/v1/chat/completions", json=CHAT)).status_code == 200
    tracing.close()
    (request,) = collector.received
    (resource,) = request.resource_spans
    assert {each.key: each.value.string_value for each in resource.resource.attributes}["service.name"] == "llmos"
    names = [span.name for scope in resource.scope_spans for span in scope.spans]
    assert {"chat dialogue", "attempt smollm2@1", "prefill", "decode"} <= {*names}


def test_without_a_collector_there_are_no_traces() -> None:
    assert open_tracing(load_settings({})) is None

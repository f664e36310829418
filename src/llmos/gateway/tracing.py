"""Opening the export of traces, over OTLP, to an OpenTelemetry collector."""

from llmos.core.config import Settings
from llmos.core.errors import BadRequest
from llmos.gateway.calls.tracing_sink import TracingSink


def open_tracing(settings: Settings) -> TracingSink | None:
    """Return the sink that sends traces to LLMOS_OTLP_ENDPOINT, or None if that isn't set.

    Raises BadRequest where the packages for it aren't installed.
    """
    if settings.otlp_endpoint is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError:
        raise BadRequest("LLMOS_OTLP_ENDPOINT is set, and traces need `pip install llmos[otel]`.") from None
    provider = TracerProvider(
        resource=Resource.create({"service.name": "llmos"}),
        sampler=ParentBased(TraceIdRatioBased(settings.trace_percent / 100)),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=f"{settings.otlp_endpoint.rstrip('/')}/v1/traces", timeout=10)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return TracingSink(provider)

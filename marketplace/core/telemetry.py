"""Traces and metrics by setting: OpenTelemetry when an OTLP address is given, Prometheus on a port of its own."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import start_http_server

from marketplace.core.settings import Settings


def configure(settings: Settings, service: str) -> None:
    """Send traces to the OTLP address of the settings; without one nothing is recorded. FastAPI makes the spans."""
    if not settings.otel_exporter_otlp_endpoint:
        return
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(settings.otel_exporter_otlp_endpoint)))
    trace.set_tracer_provider(provider)


@contextmanager
def job_span(kind: str, context: dict[str, str]) -> Iterator[None]:
    """Run a job inside a span that continues the trace of the call which caused it."""
    with trace.get_tracer("kapok").start_as_current_span(kind, context=propagate.extract(context)):
        yield


@contextmanager
def metrics_server(settings: Settings) -> Iterator[None]:
    """Serve Prometheus metrics of this process on METRICS_PORT, or the next free port if several share a host."""
    if not settings.metrics_port:
        yield
        return
    server = None
    for port in range(settings.metrics_port, settings.metrics_port + 32):
        try:
            server, thread = start_http_server(port, settings.host)
        except OSError:
            continue
        break
    try:
        yield
    finally:
        if server is not None:
            server.shutdown()
            thread.join()

"""Spans of requests, sent to an OpenTelemetry collector; needs the extra `otel`.

FastAPI makes the spans (one per request, W3C trace context continued); here is where they go.
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from fastapi_app import __version__
from fastapi_app.observability import without_secrets

TRACES = "/v1/traces"
"""Where collectors take spans (OTLP specification, section on HTTP)."""
WITHIN = 2.0
"""Seconds a collector has to take what it is sent, at the end of the server too."""
_MAY_HOLD_SECRETS = ("url.path", "url.query")


def provider(endpoint: str) -> TracerProvider:
    """Sends what is traced to `endpoint`, in batches, from a thread; `shutdown` sends the rest."""
    resource = Resource.create({"service.name": "mcli-dualstack", "service.version": __version__})
    found = TracerProvider(resource=resource, shutdown_on_exit=False)
    found.add_span_processor(_WithoutSecrets())
    found.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(_full(endpoint), timeout=WITHIN)))
    return found


class _WithoutSecrets(SpanProcessor):
    """An address may carry a token."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """Before anybody else sees it."""
        for name in _MAY_HOLD_SECRETS:
            value = (span.attributes or {}).get(name)
            if isinstance(value, str):
                span.set_attribute(name, without_secrets(value))


def _full(endpoint: str) -> str:
    """The address spans go to; of a collector alone, the one its kind has."""
    parts = urlsplit(endpoint)
    path = parts.path if parts.path.strip("/") else TRACES
    return urlunsplit(parts._replace(path=path))

"""Structured logs: one line an event, JSON in production, with the ids that tie API, outbox and jobs together."""

import logging
import sys

import structlog

from marketplace.core.settings import Settings

# Local variables hold addresses with passwords; they stay out of the log.
_PLAIN_TRACEBACK = structlog.dev.RichTracebackFormatter(show_locals=False)


def configure_logging(settings: Settings) -> None:
    """Set up structlog and send the standard library's records through it."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    as_json = settings.log_json or settings.env == "production"
    colors = sys.stderr.isatty()
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=_PLAIN_TRACEBACK)
    )
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info if as_json else _keep, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level)),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _keep(
    _logger: structlog.types.WrappedLogger, _name: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    return event

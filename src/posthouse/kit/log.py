"""Logging: structlog to standard error, as text or JSON lines. No secret and no mail text is ever logged."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog


class _Unfailing:
    """A stream whose writing never raises: a log on a full disk must not take its caller's work down with it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, if it can be written."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            return 0

    def flush(self) -> None:
        """Flush, if it can be flushed."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            pass


class _CallersFaults(logging.Filter):
    """Leaves out what uvicorn logs as an error or a warning though the caller did it and was answered.

    Anyone could fill the log with it: bytes that are no HTTP (400), a WebSocket refused before the upgrade (401), a
    text frame that is no text (1007, RFC 6455 §7.4.1).
    """

    _SAID = (
        "Invalid HTTP request received.",
        "Invalid UTF-8 sequence received from client.",
        # A refusal in words, by `websocket.http.response`, counts as none to uvicorn.
        "ASGI callable returned without completing handshake.",
    )

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it."""
        return not str(record.msg).startswith(self._SAID)


_CALLERS_FAULTS = _CallersFaults()


def configure(level: str = "info", fmt: str = "text") -> None:
    """Set up logging for this process.

    Args:
        level: debug, info, warning or error.
        fmt: `text` for people, `json` for one object a line.
    """
    number = getattr(logging, level.upper(), logging.INFO)
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if fmt == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # The pretty one prints local variables: keys and mail would be in the log.
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(file=_Unfailing(sys.stderr)),  # type: ignore[arg-type]
        cache_logger_on_first_use=False,
    )
    logging.getLogger("uvicorn.error").addFilter(_CALLERS_FAULTS)
    logging.basicConfig(level=max(number, logging.WARNING), stream=sys.stderr, format="%(message)s")


def get(name: str) -> Any:
    """A logger that says which part speaks."""
    return structlog.get_logger().bind(part=name)

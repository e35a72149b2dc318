"""HTTP servers that end soon after they are told to."""

import logging
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

PATIENCE = 3
"""Seconds that answers and open pages get when the server is told to end."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, close: Callable[[], None]) -> None:
        super().__init__(config)
        self._close = close

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._close()
        # It would print tracebacks of the connections that are cut.
        logging.getLogger("uvicorn.error").disabled = True
        super().handle_exit(sig, frame)


def run(app: FastAPI, place: socket.socket, close: Callable[[], None]) -> None:
    """Answer requests until SIGTERM or Ctrl-C, which the caller then gets as usual.

    Args:
        app: what answers.
        place: socket that listens.
        close: stops what is computed, which would be waited for. It is called inside the handler of the signal, so it
            may take no lock.
    """
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=PATIENCE)
    _Server(config, close).run(sockets=[place])

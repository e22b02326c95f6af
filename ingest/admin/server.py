"""Serve the application on the inherited socket until the supervisor says so or is gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Iterator

import uvicorn
import uvloop

from ingest import logs
from ingest._native import Region
from ingest.admin.application import make_application
from ingest.contract import AdminSpec
from ingest.errors import ExitStatus

_MAXIMUM_CONNECTIONS = 64
_IDLE_SECONDS = 5
_DRAIN_SECONDS = 2


class _Server(uvicorn.Server):
    """uvicorn's own handlers raise the signal again at the end, which is no clean exit."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `_serve`."""
        yield


def run(spec: AdminSpec) -> ExitStatus:
    """Serve until SIGTERM or until the lifeline ends."""
    logs.configure(spec.log, role="admin")
    region = Region.attach(spec.region)
    os.close(spec.region)  # the mapping has a descriptor of its own
    uvloop.run(_serve(spec, region))
    return ExitStatus.CLEAN


async def _serve(spec: AdminSpec, region: Region) -> None:
    config = uvicorn.Config(
        make_application(region),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_MAXIMUM_CONNECTIONS,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    server = _Server(config)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        # A lifeline at its end stays readable, so it is asked only once.
        loop.remove_reader(spec.lifeline)
        server.should_exit = True

    loop.add_reader(spec.lifeline, stop)
    loop.add_signal_handler(signal.SIGTERM, stop)
    # A Ctrl-C on the terminal is for the supervisor; metrics stay up while it drains.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    with socket.socket(fileno=spec.descriptor) as listening:
        logs.get_logger(__name__).info(
            "The admin server answers.", address="{}:{}".format(*listening.getsockname()[:2])
        )
        await server.serve(sockets=[listening])

"""The four pages of the admin server; each is read from the region when it is asked for."""

from __future__ import annotations

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ingest._native import Region
from ingest.admin.metrics import RegionCollector
from ingest.counters import Readiness, read_status

_JSON = "application/json"


def make_application(region: Region) -> Starlette:
    """Return the application that shows one region."""
    registry = CollectorRegistry()
    registry.register(RegionCollector(region))

    async def show_metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    async def show_health(_request: Request) -> Response:
        """Answering at all is the answer: this process lives."""
        return Response("ok\n", media_type="text/plain")

    async def show_readiness(_request: Request) -> Response:
        status = read_status(region)
        readiness = Readiness(ready=status.ready, reasons=status.reasons)
        code = 200 if status.ready else 503
        return Response(msgspec.json.encode(readiness), code, media_type=_JSON)

    async def show_status(_request: Request) -> Response:
        return Response(msgspec.json.encode(read_status(region)), media_type=_JSON)

    return Starlette(
        routes=[
            Route("/metrics", show_metrics),
            Route("/healthz", show_health),
            Route("/readyz", show_readiness),
            Route("/status", show_status),
        ]
    )

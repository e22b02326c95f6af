"""The command itself: what to send, where to, how fast."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Annotated

import typer

from ingest.cli.send.pacing import Pace
from ingest.cli.send.sources import read_batches, sample_batches
from ingest.cli.send.transports import Transport, connect
from ingest.errors import SendError

_DEFAULT_ADDRESS = "127.0.0.1:5140"
_UDP_EVENTS_PER_SECOND = 50_000
"""Nothing slows a UDP sender down but itself; faster than this, small buffers overflow."""


def send(
    *,
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="NDJSON to send; - is standard input.")
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Send this many sample events instead of a file."),
    ] = None,
    tcp: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help=f"Send over TCP.  [default: {_DEFAULT_ADDRESS}]"),
    ] = None,
    udp: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Send over UDP, one datagram for each line."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            metavar="N",
            help="Events per second.  [default: as many as go; over UDP"
            f" {_UDP_EVENTS_PER_SECOND:,}]",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing but errors.")] = False,
) -> None:
    """Send NDJSON or sample events to a server."""
    if (file is None) == (count is None):
        raise typer.BadParameter("give either FILE (- is standard input) or --count")
    if tcp is not None and udp is not None:
        raise typer.BadParameter("give either --tcp or --udp")
    kind, address = ("tcp", tcp or _DEFAULT_ADDRESS) if udp is None else ("udp", udp)
    host, port = _split(address)
    pace = Pace(rate or (_UDP_EVENTS_PER_SECOND if kind == "udp" else None))
    show = sys.stderr.isatty() and not quiet
    started = time.monotonic()
    with ExitStack() as stack:
        batches = stack.enter_context(_open_source(file, count, pace.batch))
        transport = stack.enter_context(connect(kind, host, port))
        advance = stack.enter_context(_progress(count) if show else nullcontext(_ignore))
        sent = _send_all(batches, transport, pace, advance)
    if not quiet:
        seconds = max(time.monotonic() - started, 1e-6)
        typer.echo(
            f"Sent {sent:,} events over {kind} to {address} in {seconds:.2f} s"
            f" ({sent / seconds:,.0f} per second).",
            err=True,
        )


def _send_all(
    batches: Iterable[list[bytes]],
    transport: Transport,
    pace: Pace,
    advance: Callable[[int], None],
) -> int:
    sent = 0
    for lines in batches:
        transport.send(lines)
        sent += len(lines)
        advance(len(lines))
        pace.keep(len(lines))
    transport.finish()
    return sent


@contextmanager
def _open_source(
    file: str | None, count: int | None, largest: int
) -> Iterator[Iterator[list[bytes]]]:
    if count is not None:
        yield sample_batches(count, largest)
        return
    with _open(str(file)) as stream:
        yield read_batches(stream, largest)


def _open(file: str) -> io.BufferedReader:
    if file == "-" and sys.stdin is None:
        raise SendError("standard input is closed")
    try:
        return open(sys.stdin.fileno() if file == "-" else file, "rb", closefd=file != "-")
    except OSError as error:
        raise SendError(f"{file}: cannot be read: {error.strerror}") from None


def _split(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit()):
        raise typer.BadParameter(f"{address} is not an address; write it like {_DEFAULT_ADDRESS}")
    return host.strip("[]"), int(port)


def _progress(total: int | None) -> AbstractContextManager[Callable[[int], None]]:
    from ingest.cli.send.progress import show_progress  # noqa: PLC0415 - it is slow to import

    return show_progress(total)


def _ignore(_events: int) -> None:
    """Take the place of a progress bar."""

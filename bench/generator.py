"""Runs the native load generator of bench/loadgen."""

from __future__ import annotations

import json
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

Transport = Literal["tcp", "tls", "udp"]
Format = Literal["json", "rfc5424", "rfc3164"]

EVENT_BYTES: dict[Format, int] = {"json": 320, "rfc5424": 200, "rfc3164": 200}
"""How long events are, on average, where no length is asked for."""

_CONNECT_SECONDS = 10.0
_CRATE = Path(__file__).parent / "loadgen"


class Sent(msgspec.Struct, frozen=True):
    """What the generator says about one run; the times are of the monotonic clock."""

    run: int
    events: int
    bytes: int
    seconds: float
    cpu_seconds: float
    started_ns: int
    ended_ns: int
    resets: int
    closed: int
    """Connections that the server closed before their last event."""
    failed: int
    unclosed: int
    """Connections that the server had not closed when waiting for it ended."""
    send_errors: int
    """Calls of sendmmsg that failed; what they were given was sent later."""
    per_connection: list[int]
    broken: list[int]
    """The numbers of the connections that the server ended."""

    @property
    def unbroken(self) -> bool:
        """Whether every connection lived to its last event."""
        return not (self.resets or self.closed or self.failed or self.unclosed)


class Deeds(msgspec.Struct, frozen=True):
    """What hostile clients say that they did; all but the first three are counts."""

    kind: str
    seconds: float
    cpu_seconds: float
    attempts: int
    opened: int
    refused: int
    closed_by_peer: int
    resets: int
    hung_up: int
    open: int
    bytes: int


class _AtWork:
    """A generator that does what it was told; leaving the block ends it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def __enter__(self) -> Self:
        """Return it; it is at work already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it, if it has not ended."""
        with self._process:
            self._process.kill()

    @property
    def is_at_work(self) -> bool:
        """Whether it is not done yet."""
        return self._process.poll() is None


class Sending(_AtWork):
    """Senders of events.

    With `events` of None they send until `finish`, and where a connection breaks they go on over a
    new one, which has the next number. `record` is a file for the hash of each event.
    """

    def __init__(
        self,
        transport: Transport,
        address: str,
        *,
        connections: int,
        events: int | None,
        message_format: Format = "json",
        event_bytes: int | None = None,
        run: int = 0,
        rate: float | None = None,
        burst: int | None = None,
        await_close_seconds: float | None = None,
        timeline: Path | None = None,
        record: Path | None = None,
    ) -> None:
        options = [f"--{transport}={address}", f"--connections={connections}", f"--run={run}"]
        options += [f"--format={message_format}"]
        options += ["--until-end-of-input"] if events is None else [f"--events={events}"]
        if event_bytes == EVENT_BYTES[message_format]:
            event_bytes = None
        for name, value in (
            ("event-bytes", event_bytes),
            ("rate", rate),
            ("burst", burst),
            ("await-close", await_close_seconds),
            ("timeline", timeline),
            ("record", record),
        ):
            if value is not None:
                options.append(f"--{name}={value}")
        super().__init__(
            subprocess.Popen(
                [program(), "send", *options],
                stdin=subprocess.PIPE if events is None else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
            )
        )

    def finish(self, timeout_seconds: float | None = None) -> Sent:
        """Wait until the kernel has everything; raise CalledProcessError if it could not send.

        Connections that broke are in the answer. Raises TimeoutExpired if it takes longer.
        """
        output, _ = self._process.communicate(timeout=timeout_seconds)
        if not output:
            raise subprocess.CalledProcessError(self._process.returncode, self._process.args)
        return msgspec.json.decode(output, type=Sent)


class Crowd(_AtWork):
    """Hostile clients."""

    def __init__(self, kind: str, address: str, *, most_seconds: float) -> None:
        options = [f"--tcp={address}", f"--seconds={most_seconds}", "--until-end-of-input"]
        super().__init__(
            subprocess.Popen(
                [program(), "hostile", kind, *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )

    def finish(self) -> Deeds:
        """Tell them to stop and return what they did."""
        output, _ = self._process.communicate()
        return msgspec.json.decode(output, type=Deeds)


@cache
def program() -> Path:
    """Return where `make bench` has cargo leave the generator."""
    metadata = subprocess.run(
        ["cargo", "metadata", "--format-version=1", "--no-deps", "--manifest-path", "Cargo.toml"],  # noqa: S607
        cwd=_CRATE,
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    return Path(json.loads(metadata)["target_directory"]) / "release" / "loadgen"


def events(count: int) -> bytes:
    """Return the first events of a connection, as lines: what a server would have received."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(_CONNECT_SECONDS)
        received = pool.submit(_receive, listener)
        address = "{}:{}".format(*listener.getsockname())
        with Sending("tcp", address, connections=1, events=count) as sending:
            sending.finish()
        return received.result()


def _receive(listener: socket.socket) -> bytes:
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as stream:
        return stream.read()

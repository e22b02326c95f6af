"""The tables `[[listeners]]`: where senders connect, what they speak and who may."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal, cast

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from ingest.config.limits import ListenerLimits
from ingest.config.networks import Network
from ingest.config.quantities import shown, split_address
from ingest.config.tables import Table
from ingest.config.time_zones import TimeZone
from ingest.contract import ClientAuth, ListenerFormat, ListenerKind, TlsVersion, Unparsed

LONGEST_NAME = 63
_LONGEST_PATH_BYTES = 107
"""Of the 108 in `sockaddr_un`, one ends a path or begins an abstract name."""
_DEFAULT_MODE = "0660"
_MOST_LABELS = 32
_LONGEST_LABEL_VALUE = 256
_LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")


def _check_labels(labels: dict[str, str]) -> dict[str, str]:
    if len(labels) > _MOST_LABELS:
        raise ValueError(f"has {len(labels)} labels; give at most {_MOST_LABELS}")
    for name, value in labels.items():
        if not _LABEL_NAME.fullmatch(name):
            raise ValueError(
                f"{shown(name)} is not the name of a label; give up to 63 letters, digits,"
                " underscores, dots and hyphens, beginning with a letter or an underscore"
            )
        if len(value) > _LONGEST_LABEL_VALUE:
            raise ValueError(
                f"the value of {shown(name)} has {len(value)} characters;"
                f" give at most {_LONGEST_LABEL_VALUE}"
            )
    return labels


def _check_mode(mode: str) -> str:
    if not re.fullmatch("0?[0-7]{3}", mode):
        raise ValueError(f'{shown(mode)} is not a file mode; write it in octal like "0660"')
    return mode


class ListenerTls(Table):
    """How a `tls` listener proves who it is, and who its clients have to be.

    Files are PEM; relative paths begin at the working directory, as `data_dir` does.
    """

    certificate: Annotated[str, Field(min_length=1)] = Field(
        description="The file of the server's certificate, followed by those that sign it."
    )
    key: Annotated[str, Field(min_length=1)] = Field(
        description="The file of its private key, without a password."
    )
    client_ca: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="The file of the certificates that sign those of clients."
    )
    client_auth: ClientAuth = Field(
        "none",
        description="`required` serves only clients with a valid certificate; `optional` refuses"
        " invalid ones; `none` asks for none.",
    )
    minimum_version: TlsVersion = Field("1.2", description="The oldest version that is spoken.")


class Listener(Table):
    """Where senders connect. Give one table for each address."""

    kind: Literal["tcp", "udp", "tls", "unix"] = Field(
        description="The transport: `tcp` and `tls` take streams, `udp` datagrams, `unix` either"
        " from the same machine."
    )
    address: Annotated[str, WithJsonSchema({"type": "string", "format": "address"})] = Field(
        description="`HOST:PORT` to bind, where port 0 lets the kernel choose a free one; for"
        " `unix` the path of the socket, or `@NAME` in the abstract namespace."
    )
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")] | None = Field(
        None,
        description="The name in metrics and logs; `KIND-PORT` or `unix-FILE` where none is given.",
    )
    format: ListenerFormat = Field(
        "auto",
        description="What is sent: JSON lines, syslog, or `auto` for both, told apart by how each"
        " begins.",
    )
    unparsed: Unparsed = Field(
        "dead_letter",
        description="What becomes of a line that is neither: a dead letter, or with `keep` an"
        " event with the whole line as its message. Where JSON is taken, broken JSON is a dead"
        " letter all the same.",
    )
    time_zone: TimeZone = Field(
        "UTC",
        description='Of timestamps that name none: `"UTC"`, a name like `"Europe/Berlin"`, or an'
        ' offset like `"+02:00"`.',
    )
    allow: tuple[Network, ...] = Field(
        (), description="Networks and addresses that may send; none given: all may."
    )
    deny: tuple[Network, ...] = Field(
        (), description="Those that may not, also if they are allowed."
    )
    proxies: tuple[Network, ...] = Field(
        (),
        description="Load balancers, for `tcp` and `tls`. From these a PROXY header, version 1 or"
        " 2, is required and says who sends; it is believed from nobody else.",
    )
    gro: bool = Field(
        False,
        description="For `udp`: take datagrams of one sender from the kernel in bundles. This"
        " saves work where they come in bursts of one size, but a bundle that the kernel has to"
        " drop is counted as one datagram, so that `kernel_dropped` may say too little.",
    )
    socket: Literal["stream", "datagram"] | None = Field(
        None, description="For `unix`: what kind of socket, `stream` where none is given."
    )
    mode: Annotated[str, AfterValidator(_check_mode)] | None = Field(
        None,
        description=f"For `unix`: who may connect, as the mode of the file; `{_DEFAULT_MODE}` where"
        " none is given.",
    )
    labels: Annotated[dict[str, str], AfterValidator(_check_labels)] = Field(
        {},
        exclude_if=lambda labels: not labels,
        description="Added to every event under `diagnostics.labels`: up to 32 names with texts"
        " of up to 256 characters.",
    )
    tls: ListenerTls | None = Field(None, description=str(ListenerTls.__doc__))
    limits: ListenerLimits = Field(
        ListenerLimits(),
        exclude_if=lambda limits: limits == ListenerLimits(),
        description=str(ListenerLimits.__doc__),
    )

    @field_validator("address", mode="after")
    @classmethod
    def _check_address(cls, address: str, info: ValidationInfo) -> str:
        """Check it as one of the kind; of a wrong kind there is nothing to say."""
        if info.data.get("kind") == "unix":
            _check_path(address)
        elif "kind" in info.data:
            split_address(address)
        return address

    @property
    def transport(self) -> ListenerKind:
        """The kind, as the roles of the server call it."""
        if self.kind == "unix":
            return cast("ListenerKind", f"unix_{self.socket or 'stream'}")
        return self.kind

    @property
    def file_mode(self) -> int:
        """The mode of the file of a Unix socket."""
        return int(self.mode or _DEFAULT_MODE, 8)

    @property
    def place(self) -> tuple[str, str]:
        """What only one listener can have: an address, and what it belongs to."""
        return ("tcp" if self.kind == "tls" else self.kind), self.address

    @property
    def is_shared_address(self) -> bool:
        """Whether others may be given the same one: the kernel chooses a different port."""
        return self.kind != "unix" and split_address(self.address)[1] == 0

    @property
    def default_name(self) -> str:
        """The name in metrics and logs, where no other listener has it."""
        if self.kind != "unix":
            return f"{self.kind}-{split_address(self.address)[1]}"
        file = PurePosixPath(self.address.removeprefix("@")).name
        return f"unix-{re.sub('[^A-Za-z0-9._-]', '-', file)}"[: LONGEST_NAME - len("-1000")]


def _check_path(path: str) -> None:
    length = len(path.removeprefix("@").encode(errors="surrogateescape"))
    if not length or "\0" in path or path.endswith("/"):
        raise ValueError(
            f"{shown(path)} is not the path of a socket; write it like"
            ' "/run/ingest/syslog.sock" or "@ingest"'
        )
    if length > _LONGEST_PATH_BYTES:
        raise ValueError(
            f"{shown(path)} has {length} bytes, and the kernel takes no path of a socket"
            f" beyond {_LONGEST_PATH_BYTES}; choose a shorter one"
        )

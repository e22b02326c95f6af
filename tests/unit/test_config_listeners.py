"""The tables `[[listeners]]`: what a kind takes, what workers are told, what mistakes read like."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from ingest.config import Settings, load, render_toml
from ingest.contract import ListenerLimitsSpec, ListenerSpec, TlsSpec
from ingest.errors import ConfigurationError
from ingest.supervisor import boot, specs

pytestmark = pytest.mark.usefixtures("plain_environment", "in_directory")

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"
LOCKED_KEY = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIE\n-----END ENCRYPTED PRIVATE KEY-----\n"


@pytest.fixture
def in_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where the PEM files are, as far as a look at them tells."""
    monkeypatch.chdir(tmp_path)
    Path("server.pem").write_text(CERTIFICATE)
    Path("server.key").write_text(KEY)
    Path("ca.pem").write_text(CERTIFICATE)
    Path("locked.key").write_text(LOCKED_KEY)
    Path("empty.pem").write_text("")


@pytest.fixture
def real_certificate(in_directory: None) -> None:
    """Put a certificate and its key where the others are, which is its own CA as well."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate")
    files = ["-keyout", "server.key", "-out", "server.pem"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        [openssl, "req", "-x509", *key, *subject, *files], check=True, capture_output=True
    )
    shutil.copy("server.pem", "ca.pem")


def read(file: Path, *tables: str) -> Settings:
    """Load a configuration with these tables `[[listeners]]`."""
    file.write_text("".join(f"[[listeners]]\n{table}\n" for table in tables))
    return load(file, {})


def mistake(file: Path, *tables: str) -> str:
    """Load what must be refused; return what is said behind the name of the file."""
    with pytest.raises(ConfigurationError) as caught:
        read(file, *tables)
    text = str(caught.value)
    assert text.startswith(f"{file}: ")
    assert "\n" not in text
    return text.removeprefix(f"{file}: ")


FULL = """
kind = "tls"
address = "127.0.0.1:0"
name = "branch-offices"
format = "syslog"
unparsed = "keep"
time_zone = "Europe/Berlin"
allow = ["10.0.0.0/8", "192.0.2.7"]
deny = ["10.9.0.0/16", "2001:db8::/32"]
proxies = ["10.0.0.1"]
[listeners.labels]
env = "prod"
"site.name" = "\\u4e0a"
[listeners.tls]
certificate = "server.pem"
key = "server.key"
client_ca = "ca.pem"
client_auth = "required"
minimum_version = "1.3"
[listeners.limits]
line_bytes = "64KiB"
connections = 500
idle_timeout = "1h"
source_bytes_per_second = "1MiB"
"""
UNIX = 'kind = "unix"\naddress = "listener.sock"\nmode = "0600"'
UDP = 'kind = "udp"\naddress = "127.0.0.1:0"\ngro = true'
TCP = 'kind = "tcp"\naddress = "127.0.0.1:0"\n'
TLS = 'kind = "tls"\naddress = "127.0.0.1:0"\n'


@pytest.mark.usefixtures("real_certificate")
def test_workers_are_told_all_that_was_configured(file: Path, tmp_path: Path) -> None:
    """Each field under the name that the roles agreed on, with the common limits filled in."""
    settings = read(file, FULL, UNIX)
    with ExitStack() as stack:
        resources, deployment = boot.acquire(settings, stack)
        told, of_unix = specs.worker_spec(deployment, resources, 0, 1).listeners
    assert told == ListenerSpec(
        index=0,
        name="branch-offices",
        kind="tls",
        address=told.address,
        descriptor=told.descriptor,
        format="syslog",
        unparsed="keep",
        time_zone="Europe/Berlin",
        labels={"env": "prod", "site.name": "上"},
        allow=("10.0.0.0/8", "192.0.2.7/32"),
        deny=("10.9.0.0/16", "2001:db8::/32"),
        proxies=("10.0.0.1/32",),
        tls=TlsSpec(
            certificate=str(tmp_path / "server.pem"),
            key=str(tmp_path / "server.key"),
            client_ca=str(tmp_path / "ca.pem"),
            client_auth="required",
            minimum_version="1.3",
        ),
        limits=ListenerLimitsSpec(
            line_bytes=64 << 10,
            connections=500,
            source_connections=10_000,
            idle_seconds=3600.0,
            frame_seconds=300.0,
            opening_seconds=10.0,
            source_events_per_second=None,
            source_bytes_per_second=1 << 20,
        ),
    )
    assert told.address.startswith("127.0.0.1:")
    assert (of_unix.name, of_unix.kind) == ("unix-listener.sock", "unix_stream")
    assert (of_unix.address, of_unix.tls) == ("listener.sock", None)
    assert (of_unix.limits.line_bytes, of_unix.limits.connections) == (256 << 10, None)


@pytest.mark.usefixtures("real_certificate")
def test_what_is_printed_is_read_back_as_the_same_listeners(file: Path) -> None:
    """With every option of every kind, and nothing that has no meaning for one."""
    settings = read(file, FULL, UNIX, UDP, TCP)
    file.write_text(render_toml(settings))
    assert load(file, {}) == settings


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/run/ingest/dev log", "unix-dev-log"),
        ("@ingest", "unix-ingest"),
        ("/run/" + "x" * 90, "unix-" + "x" * 53),
    ],
)
def test_a_unix_listener_is_called_after_its_file(file: Path, address: str, name: str) -> None:
    """In characters that a name may have, and so that a number still fits behind it."""
    datagrams = f'kind = "unix"\naddress = "{address}"\nsocket = "datagram"'
    (listener,) = read(file, datagrams).listeners
    assert (listener.name, listener.transport) == (name, "unix_datagram")


@pytest.mark.parametrize("zone", ["UTC", "America/Argentina/Ushuaia", "+00:00", "-03:30", "+14:00"])
def test_time_zones(file: Path, zone: str) -> None:
    """By name or offset."""
    (listener,) = read(file, f'{TCP}time_zone = "{zone}"').listeners
    assert listener.time_zone == zone


MISTAKES = [
    (
        f'{TCP}time_zone = "Europe/Berln"',
        'time_zone: "Europe/Berln" is not a time zone; did you mean "Europe/Berlin"?',
    ),
    (f'{TCP}time_zone = "+2"', 'time_zone: "+2" is not a time zone; '),
    (f'{TCP}time_zone = "../../etc/passwd"', 'time_zone: "../../etc/passwd" is not a time zone'),
    (
        f'{TCP}allow = ["10.0.0.0/8", "10.1.2.3/16"]',
        (
            'allow[1]: "10.1.2.3/16" has bits set behind the first 16; write "10.1.0.0/16" for the'
            ' network, or "10.1.2.3" for the one address'
        ),
    ),
    (
        f'{TCP}deny = ["10.0.0.0/33"]',
        (
            'deny[0]: "10.0.0.0/33" is not a network; write it like "10.0.0.0/8", "2001:db8::/32",'
            ' or "10.0.0.1" for one address'
        ),
    ),
    (f'{TCP}proxies = ["lb.example"]', 'proxies[0]: "lb.example" is not a network'),
    (f'{TCP}allow = ["10.0.0.0/255.0.0.0"]', 'allow[0]: "10.0.0.0/255.0.0.0" is not a network'),
    (f'{TCP}allow = ["fe80::%eth0/64"]', 'allow[0]: "fe80::%eth0/64" is not a network'),
    (
        f'{TCP}allow = ["::ffff:10.0.0.0/104"]',
        'allow[0]: "::ffff:10.0.0.0/104" is a form of IPv4 addresses; write them as IPv4',
    ),
    (f'{TCP}allow = "10.0.0.0/8"', 'allow: "10.0.0.0/8" is not a list of texts'),
    (f'{TCP}alow = ["10.0.0.0/8"]', 'alow: is not a known key; did you mean "allow"?'),
    (
        f'{TCP}format = "cef"',
        'format: "cef" is not a choice; give "auto" or "json" or "syslog"',
    ),
    (
        f'{TCP}mode = "0660"',
        "mode: has no meaning for a tcp listener, only for unix; leave it out",
    ),
    (f'{UDP}\nsocket = "datagram"', "socket: has no meaning for a udp listener, only for unix"),
    (
        f'{UDP}\nproxies = ["10.0.0.1"]',
        "proxies: has no meaning for a udp listener, only for tcp and tls; leave it out",
    ),
    (
        f'{TCP}format = "json"\nunparsed = "keep"',
        'unparsed: has no meaning while format is "json"; leave it out',
    ),
    (
        f'{TCP}format = "json"\ntime_zone = "+02:00"',
        'time_zone: has no meaning while format is "json"; leave it out',
    ),
    (f"{TCP}gro = true", "gro: has no meaning for a tcp listener, only for udp"),
    (f'{UNIX}\nallow = ["10.0.0.0/8"]', "allow: has no meaning for a unix stream listener"),
    (f'{UNIX}\nsocket = "seqpacket"', 'socket: "seqpacket" is not a choice; give "stream" or'),
    (
        f'{UDP}\nlimits = {{idle_timeout = "1m"}}',
        "limits.idle_timeout: has no meaning for a udp listener, only for tcp, tls and unix stream",
    ),
    (
        f'{UNIX}\nsocket = "datagram"\nlimits = {{connections = 1}}',
        "limits.connections: has no meaning for a unix datagram listener",
    ),
    (f"{TCP}limits = {{connections = 0}}", "limits.connections: 0 is too small; give at least 1"),
    (f"{TCP}limits = {{conections = 9}}", 'limits.conections: is not a known key; did you mean "c'),
    (
        f'{TCP}labels = {{"1st" = "x"}}',
        (
            'labels: "1st" is not the name of a label; give up to 63 letters, digits, underscores,'
            " dots and hyphens, beginning with a letter or an underscore"
        ),
    ),
    (f"{TCP}labels = {{a = 1}}", "labels.a: 1 is not text; give text in quotes"),
    (
        f'{TCP}labels = {{a = "{"x" * 257}"}}',
        'labels: the value of "a" has 257 characters; give at most 256',
    ),
    (
        TCP + "".join(f"labels.a{at} = 'x'\n" for at in range(33)),
        "labels: has 33 labels; give at most 32",
    ),
    (
        'kind = "unix"\naddress = "/run/"',
        (
            'address: "/run/" is not the path of a socket; write it like "/run/ingest/syslog.sock"'
            ' or "@ingest"'
        ),
    ),
    ('kind = "unix"\naddress = "@"', 'address: "@" is not the path of a socket'),
    (
        f'kind = "unix"\naddress = "/{"x" * 107}"',
        (
            f'address: "/{"x" * 107}" has 108 bytes, and the kernel takes no path of a socket'
            " beyond 107; choose a shorter one"
        ),
    ),
    (UNIX.replace("0600", "0888"), 'mode: "0888" is not a file mode; write it in octal like'),
    (
        'kind = "unix"\naddress = "@a"\nmode = "0600"',
        'mode: has no meaning for "@a", which is no file; leave it out',
    ),
    (TLS, "tls: is missing; give a table with certificate and key"),
    (
        f'{TCP}tls = {{certificate = "server.pem", key = "server.key"}}',
        "tls: has no meaning for a tcp listener, only for tls; leave it out",
    ),
    (f'{TLS}tls = {{certificate = "server.pem"}}', "tls.key: is missing; give a text"),
    (
        f'{TLS}tls = {{certificate = "server.pem", key = "server.key", client_auth = "required"}}',
        (
            'tls.client_ca: is missing; client_auth = "required" needs the certificates that sign'
            " those of clients"
        ),
    ),
    (
        f'{TLS}tls = {{certificate = "server.pem", key = "server.key", client_ca = "ca.pem"}}',
        (
            'tls.client_ca: has no effect while client_auth is "none"; give client_auth ='
            ' "required" or "optional", or leave it out'
        ),
    ),
    (
        f'{TLS}tls = {{certificate = "no.pem", key = "server.key"}}',
        'tls.certificate: "no.pem" cannot be read: No such file or directory',
    ),
    (
        f'{TLS}tls = {{certificate = "empty.pem", key = "server.key"}}',
        'tls.certificate: "empty.pem" holds no certificate in PEM form',
    ),
    (
        f'{TLS}tls = {{certificate = "server.pem", key = "server.pem"}}',
        'tls.key: "server.pem" holds no private key in PEM form',
    ),
    (
        f'{TLS}tls = {{certificate = "server.pem", key = "locked.key"}}',
        'tls.key: "locked.key" needs a password; give a key without one',
    ),
]


@pytest.mark.parametrize(("table", "expected"), MISTAKES)
def test_a_mistake_names_the_key_and_the_remedy(file: Path, table: str, expected: str) -> None:
    """One case for every kind of mistake, in the second of two listeners."""
    assert mistake(file, 'kind = "tcp"\naddress = "127.0.0.1:1"', table).startswith(
        f"listeners[1].{expected}"
    )


@pytest.mark.usefixtures("real_certificate")
def test_a_key_has_to_belong_to_its_certificate(file: Path) -> None:
    """What the workers would not start with is found before anything is bound."""
    Path("server.key").write_text(KEY)
    told = mistake(file, f'{TLS}tls = {{certificate = "server.pem", key = "server.key"}}')
    assert told.startswith("listeners[0].tls: ")
    assert "server.key" in told


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (
            'kind = "tcp"\naddress = "127.0.0.1:1"',
            TLS.replace(":0", ":1") + 'tls = {certificate = "server.pem", key = "server.key"}',
            "127.0.0.1:1 is already the address of a tcp listener",
        ),
        (
            UNIX,
            f'{UNIX}\nsocket = "datagram"',
            "listener.sock is already the address of a unix listener; choose a different one",
        ),
        (
            'kind = "udp"\naddress = "127.0.0.1:5142"',
            TLS.replace(":0", ":5142") + 'tls = {certificate = "server.pem", key = "server.key"}',
            "127.0.0.1:5142 is also admin.address",
        ),
    ],
)
def test_one_address_has_one_listener(file: Path, first: str, second: str, expected: str) -> None:
    """TLS takes a port from TCP and not from UDP, and a path has one socket of whatever kind."""
    assert mistake(file, first, second).startswith(f"listeners[1].address: {expected}")


def test_the_longest_line_of_a_listener_has_to_fit_as_well(file: Path) -> None:
    """The memories that lines go through are common to all listeners."""
    file.write_text(
        f'[limits]\narena_bytes = "31MiB"\n[[listeners]]\n{TCP}limits = {{line_bytes = "16MiB"}}'
    )
    with pytest.raises(ConfigurationError) as caught:
        load(file, {})
    assert str(caught.value) == (
        f"{file}: limits.arena_bytes: 31MiB does not hold two lines of"
        " listeners[0].limits.line_bytes; give at least 32MiB"
    )

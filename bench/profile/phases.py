"""Says which phase of the hot path a sample belongs to.

Native code belongs to the module it was written in, wherever it was inlined: the innermost function
on the stack that is of a known module decides, and so what it calls in libraries counts there too.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.profile.samples import Frame, Sample

_MAIN, _JOURNAL, _KEEPER, _PACKER = "main", "journal", "keeper", "packer"
THREADS = (_MAIN, _JOURNAL, _KEEPER, _PACKER)
"""Kinds of threads of a worker; what each does stands in native/src/journal and ingest/worker."""

PYTHON = "Python and uvloop"
OTHER = "other"
_CHECKSUM = "journal: checksum"
_COMPRESSION = "journal: compression"

# By the beginning of a function's path. Modules that all others use, such as `counters`, are not
# here: what they do counts for whoever called.
_NATIVE = {
    "_native::receive": "receive",
    "_native::frame": "frame",
    "_native::decode": "decode",
    "_native::syslog": "decode syslog",
    "_native::pipeline": "stages",
    "_native::shard": "batch",
    "_native::journal": "journal",
    "_native::dead_letter": "dead letters",
    "_native::py": PYTHON,
    "rustls": "TLS",
    "ring": "TLS",
}
# Beside these, all that the writer thread does in user space is one phase.
_WRITER = {
    "twox_hash": _CHECKSUM,
    "ZSTD_": _COMPRESSION,
    "HUF_": _COMPRESSION,
    "FSE_": _COMPRESSION,
    "zstd_safe": _COMPRESSION,
}
_BESIDE = {_JOURNAL: "journal", _KEEPER: "seal", _PACKER: "recompress"}

# By the beginning of a kernel function's name: the outermost that is known says what was asked for.
_SOCKETS, _FILES = "kernel: sockets", "kernel: files"
_PAGE_FAULTS, _KERNEL_OTHER = "kernel: page faults", "kernel: other"
_KERNEL = {
    **dict.fromkeys(("asm_exc_page_fault", "exc_page_fault", "do_page_fault"), _PAGE_FAULTS),
    **dict.fromkeys(
        ("sock_", "__sys_recv", "__sys_send", "do_recvmmsg", "__sys_accept", "tcp_", "udp_"),
        _SOCKETS,
    ),
    **dict.fromkeys(("ep_", "do_epoll_", "__sys_setsockopt", "net_rx_action"), _SOCKETS),
    **dict.fromkeys(("vfs_", "do_readv", "do_writev", "do_fsync", "do_sys_open"), _FILES),
    **dict.fromkeys(("ksys_read", "ksys_write", "ksys_pread", "ksys_pwrite"), _FILES),
}

PHASES = (
    *dict.fromkeys((*_NATIVE.values(), *_WRITER.values(), *_BESIDE.values())),
    _SOCKETS,
    _FILES,
    _PAGE_FAULTS,
    _KERNEL_OTHER,
    OTHER,
)
"""All phases, in the order in which they are shown."""

_COPIES = "memmove", "memcpy", "memset"
_PYTHON_OBJECTS = "python", "loop.cpython"


def thread_of(sample: Sample) -> str:
    """Return which kind of thread it is of."""
    kind = sample.thread.partition("-")[0]
    return kind if kind in _BESIDE else _MAIN


def is_copy(sample: Sample) -> bool:
    """Return whether the C library was copying or clearing memory for somebody."""
    return any(copy in sample.frames[0].symbol for copy in _COPIES)


def phase_of(sample: Sample) -> str:
    """Return the phase it belongs to."""
    if sample.frames[0].is_kernel:
        return _kernel_phase([frame.symbol for frame in sample.frames if frame.is_kernel])
    if (thread := thread_of(sample)) == _MAIN:
        return _first(_NATIVE, sample.frames) or _without_native(sample.frames)
    if thread == _JOURNAL:
        return _first(_WRITER, sample.frames) or _BESIDE[thread]
    return _BESIDE[thread]


def _first(phases: dict[str, str], frames: Sequence[Frame]) -> str | None:
    """Return the phase of the innermost function that is in the table."""
    for frame in frames:
        path = frame.symbol.lstrip("<&").removeprefix("mut ").removeprefix("dyn ")
        for beginning, phase in phases.items():
            if path.startswith(beginning):
                return phase
    return None


def _without_native(frames: Sequence[Frame]) -> str:
    names = [frame.object.rpartition("/")[2] for frame in frames]
    is_python = any(name.removeprefix("lib").startswith(_PYTHON_OBJECTS) for name in names)
    return PYTHON if is_python else OTHER


def _kernel_phase(symbols: Sequence[str]) -> str:
    for symbol in reversed(symbols):
        for beginning, phase in _KERNEL.items():
            if symbol.startswith(beginning):
                return phase
    return _KERNEL_OTHER

"""Runs `ingest` under a filter of system calls: no process can make a sibling of itself."""

import ctypes
import os
import platform
import struct
import sys

CLONE = {"x86_64": 56, "aarch64": 220}[platform.machine()]
CLONE_PARENT = 0x8000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
PERMIT, REFUSE = 0x7FFF0000, 0x00050000 | 1  # EPERM
LOAD, EQUALS, HAS_BITS, RETURN = 0x20, 0x15, 0x45, 0x06
NUMBER, FIRST_ARGUMENT = 0, 16  # offsets in struct seccomp_data

PROGRAM = [
    (LOAD, 0, 0, NUMBER),
    (EQUALS, 0, 3, CLONE),
    (LOAD, 0, 0, FIRST_ARGUMENT),
    (HAS_BITS, 0, 1, CLONE_PARENT),
    (RETURN, 0, 0, REFUSE),
    (RETURN, 0, 0, PERMIT),
]


def main() -> None:
    """Install the filter, which is inherited, and become the command."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in PROGRAM))
    program = struct.pack("HxxxxxxP", len(PROGRAM), ctypes.addressof(code))
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or library.prctl(
        PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0
    ):
        raise OSError(ctypes.get_errno(), "the filter is not accepted")
    os.execv(sys.executable, [sys.executable, "-m", *sys.argv[1:]])  # noqa: S606


if __name__ == "__main__":
    main()

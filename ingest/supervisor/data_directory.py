"""The data directory: one server at a time works on it and says there where it can be found."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import struct
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from ingest import contract, logs
from ingest.contract import RegionNote, RunningServer
from ingest.errors import BootError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK_RECORD = struct.Struct("@hhqqi")  # struct flock: type, whence, start, length, pid


class DataDirectory:
    """A data directory that is ours until `release`, or until all our processes are gone.

    Two locks on one file tell two facts. The record lock is the supervisor's alone and vanishes
    with it. The flock is inherited through `lock`, so it lasts until the last worker has ended:
    the workers of a killed server may still be writing, and nobody else must write beside them.
    """

    def __init__(self, path: Path, *, patience_seconds: float) -> None:
        """Take the directory, which is made if need be; wait for the workers of a dead server.

        Raises BootError where it cannot be used.
        """
        self.path = path.absolute()
        self._announced = self._noted = False
        try:
            self.path.mkdir(mode=0o750, parents=True, exist_ok=True)
            self.inode = self.path.stat().st_ino
            self.lock = os.open(self.path / contract.LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            self._take_record_lock()
            self._take_flock(patience_seconds)
        except OSError as error:
            os.close(self.lock)
            raise self._unusable(error) from error
        except BootError:
            os.close(self.lock)
            raise

    def announce(self, server: RunningServer) -> bool:
        """Write the server file; a reader finds the whole of it or none, after a power cut too.

        Return False where the disk is full, which may pass; raise BootError for other refusals.
        """
        is_written = self._write(contract.server_file(self.path), contract.encode(server))
        self._announced |= is_written
        return is_written

    def noted_region(self) -> RegionNote | None:
        """Return the note of a server that did not stop in order; None where there is none.

        Raises ValueError where it cannot be read.
        """
        try:
            return contract.decode((self.path / contract.REGION_FILE).read_bytes(), RegionNote)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ValueError(_reason(error)) from error

    def note_region(self, note: RegionNote) -> bool:
        """Write our own note, once, so that not even a dead machine forgets it.

        Return False where the disk is full, which may pass; raise BootError for other refusals.
        """
        if not self._noted:
            target = self.path / contract.REGION_FILE
            self._noted = self._write(target, contract.encode(note))
        if not self._noted:
            self._remove_note()  # that of the server before says nothing about us
        return self._noted

    def forget_region(self) -> None:
        """Remove our own note; raise BootError where that is refused."""
        if self._noted:
            self._remove_note()

    def _remove_note(self) -> None:
        target = self.path / contract.REGION_FILE
        try:
            target.unlink(missing_ok=True)
            self._sync()
        except OSError as error:
            raise BootError(f"cannot remove {target}: {_reason(error)}") from error

    def _write(self, target: Path, content: bytes) -> bool:
        draft = target.with_suffix(".draft")
        try:
            with draft.open("wb", buffering=0) as file:
                file.write(content + b"\n")
                os.fsync(file.fileno())
            draft.replace(target)
            self._sync()
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                return False
            raise BootError(f"cannot write {target}: {_reason(error)}") from error
        return True

    def _sync(self) -> None:
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def release(self) -> None:
        """Withdraw the server file, where the disk allows it, and give the directory up."""
        target = contract.server_file(self.path)
        try:
            if self._announced:
                target.unlink(missing_ok=True)
        except OSError as error:
            # A file that names a process that is gone misleads nobody.
            logs.get_logger(__name__).warning(f"Cannot remove {target}.", reason=_reason(error))
        finally:
            os.close(self.lock)

    def _take_record_lock(self) -> None:
        try:
            fcntl.lockf(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise BootError(
                f"another server{self._holder()} works on the data directory {self.path}"
            ) from None

    def _holder(self) -> str:
        question = _LOCK_RECORD.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = fcntl.fcntl(self.lock, fcntl.F_GETLK, question)
        pid = _LOCK_RECORD.unpack(answer)[-1]
        return f" (process {pid})" if pid > 0 else ""

    def _take_flock(self, patience_seconds: float) -> None:
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logs.get_logger(__name__).warning(
                "Waiting for the workers of a server that died.", data_dir=str(self.path)
            )
            try:
                with _time_limit(patience_seconds):
                    fcntl.flock(self.lock, fcntl.LOCK_EX)
            except TimeoutError:
                raise BootError(
                    f"workers of a server that died still work on the data directory {self.path}"
                ) from None

    def _unusable(self, error: OSError) -> BootError:
        return BootError(f"cannot use the data directory {self.path}: {_reason(error)}")


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError out of a blocking call; flock has no timeout of its own."""

    def expire(_number: int, _frame: FrameType | None) -> NoReturn:
        raise TimeoutError

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()

"""How samples of `perf` become phases, and the page that shows what each of them costs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bench.profile import breakdown, inlining, samples
from bench.profile.breakdown import Profile
from bench.profile.phases import phase_of
from bench.profile.samples import Frame, Sample

LIBRARY = "/build/lib_native.so"
KERNEL = "[kernel.kallsyms]"
PRINTED = f"""\
python 29701
\t          16424c __memmove_evex_unaligned_erms ({"/lib/libc.so.6"})
\t          2835a4 [unknown] ({LIBRARY})
\tffffffffffffffff [unknown] ([unknown])

keeper-0001 30407
\tffffffff821f26e7 exc_page_fault ({KERNEL})
\t          16424c __memmove_evex_unaligned_erms (/lib/libc.so.6)

"""
SOURCE = """\
__attribute__((noinline)) int outer(int number);
static inline int inlined(int number) { return number * number + 7; }
int outer(int number) { return inlined(number) + inlined(number + 1); }
"""


def sample(*frames: str, thread: str = "python", file: str = LIBRARY) -> Sample:
    """Return a sample with these functions, the innermost first; `k:` are those of the kernel."""
    return Sample(
        thread,
        tuple(
            Frame(name.removeprefix("k:"), KERNEL if name.startswith("k:") else file)
            for name in frames
        ),
    )


def test_printed_samples_are_read_with_their_stacks() -> None:
    """What could not be unwound is left out."""
    first, second = samples.parse(PRINTED.splitlines())
    assert first.thread == "python"
    assert [frame.object for frame in first.frames] == ["/lib/libc.so.6", LIBRARY]
    assert first.frames[1].address == 0x2835A4
    assert second.thread == "keeper-0001"
    assert [frame.is_kernel for frame in second.frames] == [True, False]


@pytest.mark.parametrize(
    ("taken", "phase"),
    [
        # A library counts for the module that called it, and a module wherever it was inlined.
        (sample("memchr::find", "_native::frame::split", "_native::receive::drain"), "frame"),
        (sample("<_native::shard::Lines as _native::receive::Intake>::take"), "batch"),
        (sample("__memmove", "<&_native::decode::Decoder as X>::x"), "decode"),
        # What all modules use counts for the caller.
        (sample("_native::counters::add", "_native::pipeline::run"), "stages"),
        (sample("xxh3", "_native::journal::write", thread="journal-0000"), "journal"),
        (sample("twox_hash::xxhash3::hash", thread="journal-0000"), "journal: checksum"),
        (sample("blake3::hash", "_native::journal::scan", thread="keeper-0000"), "seal"),
        (sample("_PyEval_EvalFrameDefault", file="/lib/libpython3.11.so.1.0"), "Python and uvloop"),
        (sample("malloc", file="/lib/libc.so.6"), "other"),
        (sample("k:_copy_to_iter", "k:tcp_recvmsg", "k:__x64_sys_recvmmsg"), "kernel: sockets"),
        (sample("k:copy", "k:vfs_writev", "k:do_writev", "k:do_syscall_64"), "kernel: files"),
        # The outermost decides: a fault while the kernel copies is part of what was asked for.
        (sample("k:exc_page_fault", "k:copy", "k:sock_recvmsg"), "kernel: sockets"),
        (sample("k:clear_page", "k:exc_page_fault", "__memset"), "kernel: page faults"),
        (sample("k:futex_wait", "k:__x64_sys_futex"), "kernel: other"),
    ],
)
def test_a_sample_belongs_to_the_innermost_known_module(taken: Sample, phase: str) -> None:
    assert phase_of(taken) == phase


def test_phases_add_up_to_what_all_of_it_costs() -> None:
    """Their copies are part of them, and threads part them."""
    taken = [
        sample("_native::decode::run"),
        sample("__memmove_evex", "_native::decode::run"),
        sample("blake3::hash", thread="keeper-0000"),
        sample("k:copy", "k:vfs_read", thread="keeper-0000"),
    ]
    found = breakdown.phases(taken, 0.8)
    assert [each.name for each in found] == ["decode", "seal", "kernel: files"]
    assert sum(each.cpu_seconds_per_million for each in found) == pytest.approx(0.8)
    decode = found[0]
    assert (decode.share, decode.copies_share) == (0.5, 0.25)
    assert decode.share_by_thread == {"main": 0.5, "journal": 0, "keeper": 0, "packer": 0}
    profile = Profile(
        case="raw",
        connections=4,
        workers=2,
        events=1,
        events_per_second=1.0,
        cpu_seconds_per_million=0.8,
        samples=len(taken),
        sampled_share=1.0,
        phases=found,
    )
    rows = breakdown.table(profile).splitlines()
    assert rows[2] == "| decode | 0.400 | 50.0 | 25.0 | 50.0 |  |"
    assert rows[-1] == "| all | 0.800 | 100.0 | 25.0 | 50.0 | 50.0 |"


def test_stacks_are_folded_from_the_outermost_function_on() -> None:
    taken = [sample("inner", "_native::decode::run")] * 2
    assert breakdown.folded(taken) == "main;decode;_native::decode::run;inner 2\n"


@pytest.mark.skipif(
    shutil.which("cc") is None or shutil.which("addr2line") is None, reason="needs cc and addr2line"
)
def test_inlined_functions_come_back_onto_the_stack(tmp_path: Path) -> None:
    """From the debug information of a library, innermost first; other files stay as they are."""
    source, library = tmp_path / "source.c", tmp_path / "library.so"
    source.write_text(SOURCE)
    subprocess.run(
        ["cc", "-O2", "-g", "-shared", "-fPIC", source, "-o", library],  # noqa: S607
        check=True,
    )
    listed = subprocess.run(["nm", library], check=True, capture_output=True, text=True).stdout  # noqa: S607
    start = next(int(line.split()[0], 16) for line in listed.splitlines() if line.endswith("outer"))
    other = Frame("main", "/bin/program", 7)
    taken = [
        Sample("python", (Frame("[unknown]", str(library), start + at), other)) for at in range(12)
    ]
    names = [[frame.symbol for frame in each.frames] for each in inlining.expand(taken, library)]
    assert ["inlined", "outer", "main"] in names
    assert all(each[-2:] == ["outer", "main"] for each in names)

"""Loaded by every Python process of a shop under chaos: lets its wall clock be moved from outside, at any moment, and
imports the modules named in CHAOS_PLANTED, which plant bugs so that a test can show that they are found.

The process maps eight bytes of a file of its own name (its pid) in the folder CHAOS_CLOCKS; whoever writes a number of
nanoseconds there moves `time.time` and `time.time_ns` by it. The monotonic clocks stay, as in a real jump.
"""

import importlib
import mmap
import os
import time


def _follow(folder: str) -> None:
    descriptor = os.open(os.path.join(folder, str(os.getpid())), os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(descriptor, 8)
    offset_ns = memoryview(mmap.mmap(descriptor, 8)).cast("q")
    os.close(descriptor)
    real_ns, real = time.time_ns, time.time
    time.time_ns = lambda: real_ns() + offset_ns[0]
    time.time = lambda: real() + offset_ns[0] / 1e9


if os.environ.get("CHAOS_CLOCKS"):
    _follow(os.environ["CHAOS_CLOCKS"])
for _name in os.environ.get("CHAOS_PLANTED", "").split():
    importlib.import_module(_name)

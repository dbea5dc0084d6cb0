"""Threads and processes: helpers on cores of their own, one matrix product at a time, what a fork must make anew.

OpenBLAS shares a large product out among threads of its own.  It hangs for ever if the process forks meanwhile, or if
its number of threads changes: so a fork waits for the product under way, and nobody here changes the number.
Products of the caller's own in other threads are the caller's.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Protocol
from weakref import WeakSet

_lock = threading.Lock()

blas_lock = threading.RLock()
"""Held during a matrix product of ours, and while the process forks."""


_core: Callable[[], int] | None = getattr(ctypes.CDLL(None), "sched_getcpu", None) if os.name == "posix" else None
"""The core that runs the calling thread; Linux has it."""


class Helpers:
    """Threads that work beside the one that calls them.

    Linux likes to wake a thread on the core of the one that wakes it, and moves it only milliseconds later: a batch
    that takes less would have one core.  So helpers are kept off the core of the caller, who stays free to move.
    """

    def __init__(self, most: int) -> None:
        """Up to `most` threads, which begin when there is work."""
        self._ids: list[int] = []
        self._kept: tuple[set[int], int] = (set(), 0)
        """The cores that so many threads were given last."""
        begin = partial(_note_thread, self._ids)  # nothing of a thread's may lead here: it ends when we are gone
        self._pool = ThreadPoolExecutor(max(1, most), "cnn2snn-engine", begin)

    def start(self, work: Callable[[], None], count: int) -> list[Future[None]]:
        """Have `work` called by `count` of them."""
        if count > 0:
            self._keep_off()
        try:
            return [self._pool.submit(work) for _ in range(count)]
        except RuntimeError:  # the interpreter is ending, and starts no more threads: the caller is enough
            return []

    def _keep_off(self) -> None:
        """Leave the core of the caller to it."""
        if _core is None or not hasattr(os, "sched_setaffinity"):
            return
        cores = os.sched_getaffinity(0) - {_core()}
        ids = list(self._ids)
        if cores and self._kept != (cores, len(ids)):
            with suppress(OSError):  # a sandbox may forbid it
                for thread in ids:
                    os.sched_setaffinity(thread, cores)
            self._kept = cores, len(ids)


def _note_thread(ids: list[int]) -> None:
    ids.append(threading.get_native_id())


class Renewable(Protocol):
    """What has locks or threads."""

    def renew(self) -> None:
        """Make them anew: a forked process has no thread of its parent, and nobody who would open a lock."""


_renewable: WeakSet[Renewable] = WeakSet()


def renew_after_fork(thing: Renewable) -> None:
    """Have `thing.renew()` called in processes forked from now on, while it lives."""
    with _lock:
        _renewable.add(thing)


def _forked() -> None:
    global _lock
    _lock = threading.Lock()
    for thing in list(_renewable):
        thing.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
    os.register_at_fork(before=blas_lock.acquire, after_in_parent=blas_lock.release, after_in_child=blas_lock.release)

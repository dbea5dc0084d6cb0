"""Threads and processes: one matrix product at a time, and what a forked process must make anew.

OpenBLAS shares a large product out among threads of its own.  It hangs for ever if the process forks meanwhile, or if
its number of threads changes: so a fork waits for the product under way, and nobody here changes the number.
Products of the caller's own in other threads are the caller's.
"""

from __future__ import annotations

import os
import threading
from typing import Protocol
from weakref import WeakSet

_lock = threading.Lock()

blas_lock = threading.RLock()
"""Held during a matrix product of ours, and while the process forks."""


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

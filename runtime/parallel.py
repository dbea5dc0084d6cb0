"""Threads and processes: one BLAS thread for each of ours, and what a forked process must make anew.

While chunks run in parallel, products inside them must not.  OpenBLAS hangs for ever if its number of threads changes,
or the process forks, while a product is being shared out among them: so every product of ours runs in one thread, and
the number changes only when no product of ours runs.  Products of the caller's own in other threads are the caller's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from weakref import WeakSet

_lock = threading.Lock()
_state: dict[str, Any] = {"users": 0}


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
    if _state["users"]:  # of threads that are not here
        _state["users"] = 0
        _state["limit"].restore_original_limits()
    for thing in list(_renewable):
        thing.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Limit BLAS to one thread while anyone is inside; the limit is the process's."""
    from threadpoolctl import ThreadpoolController

    with _lock:
        if _state["users"] == 0:
            controller = _state.setdefault("controller", ThreadpoolController())
            _state["limit"] = controller.limit(limits=1, user_api="blas")
        _state["users"] += 1
    try:
        yield
    finally:
        with _lock:
            _state["users"] -= 1
            if _state["users"] == 0:
                _state["limit"].restore_original_limits()

"""One BLAS thread for each of ours: while chunks run in parallel, products inside them must not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_state: dict[str, Any] = {"users": 0}


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Limit BLAS to one thread until the last of all concurrent users is done; the limit is the process's."""
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

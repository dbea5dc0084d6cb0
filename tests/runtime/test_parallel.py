"""Helpers work beside the thread that calls them."""

import os
import threading

import pytest

from cnn2snn_ir.runtime import parallel
from cnn2snn_ir.runtime.parallel import Helpers

MINE = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def identity(helpers):
    (future,) = helpers.start(threading.get_native_id, 1)
    return future.result()


@pytest.mark.skipif(len(MINE) < 2, reason="one core, or none that can be chosen")
def test_helpers_are_kept_off_the_core_of_the_caller(monkeypatch):
    helpers = Helpers(1)
    helper = identity(helpers)  # it began when there was work
    for core in (MINE[0], MINE[1], MINE[1]):
        monkeypatch.setattr(parallel, "_core", lambda core=core: core)
        assert identity(helpers) == helper
        assert os.sched_getaffinity(helper) == {*MINE} - {core}
    assert os.sched_getaffinity(0) == {*MINE}, "the caller is as free as before"


@pytest.mark.skipif(len(MINE) < 2, reason="one core, or none that can be chosen")
def test_the_helper_of_a_caller_with_one_core_has_that_core(monkeypatch):
    helpers = Helpers(1)
    try:
        os.sched_setaffinity(0, {MINE[0]})
        assert os.sched_getaffinity(identity(helpers)) == {MINE[0]}
        assert os.sched_getaffinity(identity(helpers)) == {MINE[0]}
    finally:
        os.sched_setaffinity(0, MINE)


def test_where_cores_cannot_be_chosen_helpers_work_all_the_same(monkeypatch):
    def forbidden(thread, cores):
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", forbidden, raising=False)
    assert identity(helpers := Helpers(1)) == identity(helpers)
    monkeypatch.setattr(parallel, "_core", None)
    assert identity(helpers) == identity(helpers)


def test_nobody_is_asked_for_nothing():
    assert Helpers(0).start(threading.get_native_id, 0) == []

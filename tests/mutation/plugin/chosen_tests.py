"""A plugin of pytest: runs the tests named in a file, in that order; or records what every test runs.

It lies in a folder of its own, which alone is added to the path of a process that tests a mutant.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings

CHOSEN, STARTED, RECORD = (os.environ.get(f"MUTATION_{name}") for name in ("CHOSEN", "STARTED", "RECORD"))

# The same examples every time, and no search for the smallest of them: one is enough to kill.
settings.register_profile(
    "mutation", derandomize=True, database=None, deadline=None, phases=[Phase.explicit, Phase.generate]
)
settings.load_profile("mutation")

if RECORD:
    import coverage

    MEASURED = coverage.Coverage(data_file=f"{RECORD}/coverage", source=["."], omit=["tests/*"], config_file=False)
    MEASURED.set_option("run:relative_files", True)
    MEASURED.start()
PASSED: dict[str, float] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if CHOSEN:
        place = {name: i for i, name in enumerate(json.loads(Path(CHOSEN).read_text()))}
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in place])
        items[:] = sorted((item for item in items if item.nodeid in place), key=lambda item: place[item.nodeid])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    if STARTED:
        Path(STARTED).write_text(item.nodeid)
    if RECORD:
        MEASURED.switch_context(item.nodeid)
    return (yield)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        PASSED[report.nodeid] = report.duration


def pytest_sessionfinish(session: Any) -> None:
    if RECORD:
        MEASURED.stop()
        MEASURED.save()
        Path(RECORD, "tests.json").write_text(json.dumps(PASSED))

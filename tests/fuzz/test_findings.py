"""What the fuzzer found once: `tests/fixtures/hostile/READER/CODE.WHAT.SUFFIX` gives the diagnostic in its name."""

import pytest
from generators.recorded import FIXTURES

from fuzz.contract import judge
from fuzz.readers import reader_of

FILES = sorted(path for path in (FIXTURES / "hostile").rglob("*") if path.is_file())


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_diagnostic_is_that_in_the_name(path):
    outcome = judge(reader_of(path.parent.name), path)
    assert outcome.result == path.name.partition(".")[0], outcome.details
    assert outcome.seconds < 5
    assert outcome.growth < 64 << 20

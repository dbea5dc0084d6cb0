"""What is compared to find a name that may have been meant, and what is not."""

import pytest

from cnn2snn_ir.text.spelling import LONGEST_NAME, MOST_HINTS, MOST_NAMES, did_you_mean

LONG = "n" * LONGEST_NAME


@pytest.mark.parametrize(
    ("name", "names", "faults", "hint"),
    [
        ("rely", ["relu", "conv"], 0, "did you mean relu?"),
        ("rely", ["conv"], 0, ""),
        ("rely", ["relu"], MOST_HINTS - 1, "did you mean relu?"),
        ("rely", ["relu"], MOST_HINTS, ""),
        (LONG, [f"{LONG[1:]}m"], 0, f"did you mean {LONG[1:]}m?"),
        (LONG, [f"{LONG}m"], 0, ""),
        (f"{LONG}n", [LONG], 0, ""),
        ("rely", ["relu", *(f"{n}" for n in range(MOST_NAMES - 1))], 0, "did you mean relu?"),
        ("rely", ["relu", *(f"{n}" for n in range(MOST_NAMES))], 0, ""),
    ],
)
def test_hints(name, names, faults, hint):
    assert did_you_mean(name, names, faults) == hint
    assert LONGEST_NAME == 60

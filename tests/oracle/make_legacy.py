"""Write the models of `tests/fixtures/legacy`: files of the legacy cnn2snn API with untrained weights.

usage: PYTHONPATH=tests python tests/oracle/make_legacy.py OUTDIR

Needs h5py and numpy only: the files are laid out as tf_keras writes them, and what they compute is checked in rational
numbers.  The networks are those of `tests/generators/legacy.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from generators.legacy import FILES, write_h5


def main() -> None:
    """Write all files."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, model in FILES.items():
        write_h5(model(), folder / f"{name}.h5")


if __name__ == "__main__":
    main()

"""`python -m tests.fuzz`, from the checkout."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from fuzz.command import main

    sys.exit(main())

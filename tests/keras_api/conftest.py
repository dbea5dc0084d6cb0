"""These tests need the extra `keras`, and are skipped where it is not installed."""

import importlib.util
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

collect_ignore_glob = (
    [] if importlib.util.find_spec("tensorflow") and importlib.util.find_spec("keras") else ["test_*.py"]
)

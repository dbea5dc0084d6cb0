"""Reads samples for the commands, and writes arrays."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.diagnostics import CompileError, fail
from cnn2snn_ir.files import atomic_write

Array = npt.NDArray[Any]


def read_samples(path: Path) -> tuple[Array, Array | None]:
    """Samples and, where the file has them, labels.

    A `.npz` holds the samples under `x` (or is their only array) and the labels under `y`; a `.npy` holds samples.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded, None
        with loaded as archive:
            arrays = dict(archive)
    except FileNotFoundError:
        raise fail("FILE-MISSING", "there is no such file", where=str(path)) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise damaged(path, str(error)) from None
    if "x" not in arrays and len(arrays) != 1:
        raise damaged(path, f"arrays {', '.join(arrays) or 'none'}")
    samples = arrays.get("x", next(iter(arrays.values())))
    labels = arrays.get("y")
    if labels is not None and labels.reshape(-1).shape != samples.shape[:1]:
        found = f"{len(samples)} samples and {labels.size} labels"
        raise fail("SAMPLES-LABELS", "x and y do not belong together", where=str(path), found=found)
    return samples, None if labels is None else labels.reshape(-1)


def damaged(path: Path, reason: str) -> CompileError:
    """The error for a file without samples."""
    return fail(
        "SAMPLES-FORMAT",
        "the file holds no samples",
        where=str(path),
        found=reason[:200],
        allowed=".npz with an array x (and labels y), or .npy",
    )


def write_array(path: Path, array: Array) -> None:
    """Write a `.npy` file, whole or not at all."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    atomic_write(path, buffer.getvalue())

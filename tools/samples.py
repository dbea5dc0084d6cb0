"""Reads samples for the commands, and writes arrays."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir import array_files
from cnn2snn_ir.diagnostics import CompileError, fail
from cnn2snn_ir.files import atomic_write

if TYPE_CHECKING:
    from cnn2snn_ir.dialects.builtin import Module

Array = npt.NDArray[Any]


def read_samples(path: Path, module: Module) -> tuple[Array, Array | None]:
    """Samples as `module` takes them and, where the file has them, labels.

    A `.npz` holds the samples under `x` (or is their only array) and the labels under `y`; a `.npy` holds samples.
    They are `[samples, …]`, or `[steps, streams, …]` if the module remembers; there is a label for each.
    """
    arrays = read_arrays(path)
    samples = inputs_of(path, arrays)
    if module.states:
        check_streams(path, samples.shape, module)
    return samples, labelled(path, samples.shape, arrays.get("y"), module)


def labelled(path: Path, shape: tuple[int, ...], labels: Array | None, module: Module) -> Array | None:
    """The labels of samples of this shape, one for each; raises `CompileError` if they are more or fewer."""
    if labels is None:
        return None
    batch = shape[: 2 if module.states else 1]
    if labels.size != math.prod(batch):
        found = f"{math.prod(batch)} samples and {labels.size} labels"
        raise fail("SAMPLES-LABELS", "x and y do not belong together", where=str(path), found=found)
    return labels.reshape(batch)


def read_batch(path: Path) -> Array:
    """The samples of a file, of any shape."""
    return inputs_of(path, read_arrays(path))


def inputs_of(path: Path, arrays: dict[str, Array]) -> Array:
    """The samples among the arrays of a file; raises `CompileError` if none of them is known to be it."""
    if "x" not in arrays and len(arrays) != 1:
        raise damaged(path, f"arrays {', '.join(arrays) or 'none'}")
    return arrays.get("x", next(iter(arrays.values())))


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of a file by name; that of a `.npy` is `x`."""
    try:
        return array_files.read_arrays(path)
    except FileNotFoundError:
        raise missing(path) from None
    except (OSError, ValueError) as error:
        raise damaged(path, str(error)) from None


def check_streams(path: Path, given: tuple[int, ...], module: Module) -> None:
    """A model that remembers needs to know which samples follow each other; it does not guess."""
    from cnn2snn_ir.reference.interpreter import channels_first

    shape = module.inputs[0].shape
    channels_last = "channels are last here: save x.transpose(0, 1, 3, 4, 2)"
    if len(given) != 2 + len(shape) or given[2:] != shape:
        raise fail(
            "SAMPLES-STREAMS",
            "the model remembers, so its samples must be steps of streams",
            where=str(path),
            found=f"an array of shape {given}",
            allowed=f"(steps, streams, {', '.join(map(str, shape))})",
            help=channels_last
            if len(given) == 5 and channels_first(given, shape)
            else "for N samples that follow each other, save x[:, None]; for N that do not, x[None]",
        )


def missing(path: Path) -> CompileError:
    """The error for a file that is not there."""
    return fail("FILE-MISSING", "there is no such file", where=str(path))


def damaged(path: Path, reason: str) -> CompileError:
    """The error for a file without samples."""
    return fail(
        "SAMPLES-FORMAT",
        "the file holds no samples",
        where=str(path),
        found=reason[:200],
        allowed=".npz with an array x (and labels y), .npy, or for `run` a folder of images",
    )


def write_array(path: Path, array: Array) -> None:
    """Write a `.npy` file, whole or not at all."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    atomic_write(path, buffer.getvalue())

"""Bytes of large tensors: a sidecar file beside a dump (`.c2sw`), or a trailer inside it.

A sidecar is an ordinary `.npz`: one array a tensor, called by its hash.
"""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.array_files import array_of, read_arrays
from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.files import atomic_write
from cnn2snn_ir.ir.fields import AttrValue
from cnn2snn_ir.ir.op import Op
from cnn2snn_ir.ir.tensor import Tensor

Weights = Mapping[str, npt.NDArray[Any]]

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date a zip can hold: the same tensors give the same bytes


def tensors(op: Op) -> dict[str, Tensor]:
    """The tensors of `op` and of all nested in it, by hash, that a text shows by hash only."""
    found: dict[str, Tensor] = {}
    for inner in op.walk():
        for value in (*inner.attributes.values(), *inner.annotations.values()):
            for tensor in _inside(value):
                if tensor.is_hashed:
                    found.setdefault(tensor.digest, tensor)
    return found


def _inside(value: AttrValue) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _inside(item)


def blobs(op: Op) -> Iterator[tuple[str, str]]:
    """Hash and base64 bytes of each tensor whose bytes are here."""
    for digest, tensor in tensors(op).items():
        if not tensor.is_opaque:
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, tensor.array, allow_pickle=False)
            yield digest, base64.b64encode(buffer.getvalue()).decode("ascii")


def decode_blob(text: str) -> npt.NDArray[Any]:
    """The array of a trailer entry; raises ValueError if it is none."""
    return array_of(base64.b64decode(text, validate=True))


def write_weights(path: str | Path, op: Op) -> None:
    """Write the sidecar of a module, whole or not at all."""
    atomic_write(path, packed_weights(op))


def packed_weights(op: Op) -> bytes:
    """The bytes of the sidecar of a module."""
    sidecar = io.BytesIO()
    with zipfile.ZipFile(sidecar, "w", zipfile.ZIP_DEFLATED) as archive:
        for digest, tensor in tensors(op).items():
            if not tensor.is_opaque:
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, tensor.array, allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{digest}.npy", _EPOCH), buffer.getvalue())
    return sidecar.getvalue()


def read_weights(path: str | Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a sidecar by hash."""
    try:
        return read_arrays(path)
    except (OSError, ValueError) as error:
        raise fail("IR-WEIGHTS-FILE", "cannot read the weights", where=str(path), found=str(error)) from None


def weights_beside(path: Path) -> Path | None:
    """The sidecar of IR text in a file of its own, if it has one."""
    beside = path.with_suffix(".c2sw")
    return beside if path.suffix == ".c2s" and beside.exists() else None

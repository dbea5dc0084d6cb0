"""Constant tensors: weights, biases, scales.  Immutable, hashed, and printable without their bytes.

A tensor of a dump that was printed without its bytes is *opaque*: it knows its name, type and hash, prints
the same as before, and complains only when somebody needs the values.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.ir.types import ElementType, TensorType

INLINE_LIMIT = 16
"""Tensors of up to this many elements are printed in full."""

DIGEST_LENGTH = 16
"""Hexadecimal digits of the SHA-256 shown in text: 64 bits."""


class Tensor:
    """A constant of static shape.  `array` is read-only and of the element type's own NumPy type."""

    def __init__(
        self,
        name: str,
        type: TensorType,
        array: npt.NDArray[Any] | None,
        digest: str | None = None,
    ) -> None:
        if array is None and digest is None:
            raise ValueError("a tensor needs its values or their digest")
        self.name = name
        self.type = type
        self._array = array
        self._digest = digest

    @classmethod
    def of(cls, array: npt.ArrayLike, element: ElementType, name: str = "") -> Tensor:
        """Wrap `array`; raises ValueError if a value does not fit `element`."""
        values = np.asarray(array)
        if element.is_float:
            with np.errstate(over="raise"):
                try:
                    values = values.astype(element.dtype)
                except FloatingPointError:
                    raise ValueError(f"values of {name or 'tensor'} do not fit {element}") from None
        elif values.dtype.kind not in "iub" or not element.contains(values):
            raise ValueError(f"values of {name or 'tensor'} do not fit {element}")
        values = np.array(values, dtype=element.dtype, order="C")
        values.flags.writeable = False
        return cls(name, TensorType(values.shape, element), values)

    @property
    def is_opaque(self) -> bool:
        """True if the bytes are not here (an elided dump)."""
        return self._array is None

    @property
    def array(self) -> npt.NDArray[Any]:
        """The values; raises `CompileError` if they were elided."""
        if self._array is None:
            raise fail(
                "IR-WEIGHTS-ELIDED",
                "the values of this tensor are not in the dump",
                where=self.name,
                found=f"hash {self.digest} only",
                help="give the weights with --weights-file, or dump with --weights=sidecar or --weights=inline",
            )
        return self._array

    @property
    def int64(self) -> npt.NDArray[np.int64]:
        """The values widened for exact arithmetic."""
        return self.array.astype(np.int64)

    @cached_property
    def digest(self) -> str:
        """The first 64 bits of the SHA-256 of type and little-endian bytes, in hexadecimal."""
        if self._array is None:
            assert self._digest is not None
            return self._digest
        little = self._array.astype(self._array.dtype.newbyteorder("<"), copy=False)
        return hashlib.sha256(str(self.type).encode() + little.tobytes()).hexdigest()[:DIGEST_LENGTH]

    @cached_property
    def splat(self) -> int | float | None:
        """The one value that all elements have, if they have one and the bytes are here."""
        if self._array is None or self._array.size == 0:
            return None
        first = self._array.flat[0]
        same = self._array.tobytes() == np.full_like(self._array, first).tobytes()
        return first.item() if same else None

    @cached_property
    def is_hashed(self) -> bool:
        """True if text shows the hash and not the values: many different ones, NaNs, or no bytes at all."""
        if self._array is None:
            return True
        if self.type.element.is_float and bool(np.isnan(self._array).any()):
            return True  # a NaN has bits that no number shows
        return self._array.size > INLINE_LIMIT and self.splat is None

    def renamed(self, name: str) -> Tensor:
        """The same values under another name."""
        return Tensor(name, self.type, self._array, self._digest)

    def with_array(self, array: npt.NDArray[Any]) -> Tensor:
        """This opaque tensor with its bytes found; raises ValueError if they are not the right ones."""
        found = Tensor.of(array, self.type.element, self.name)
        if found.type != self.type or found.digest != self.digest:
            raise ValueError(f"tensor {self.name}: expected {self.type} {self.digest}, got {found.type} {found.digest}")
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tensor):
            return NotImplemented
        return (self.name, self.type, self.digest) == (other.name, other.type, other.digest)

    def __hash__(self) -> int:
        return hash((self.name, self.type, self.digest))

    def __repr__(self) -> str:
        return f"Tensor({self.name!r}, {self.type}, sha256:{self.digest})"

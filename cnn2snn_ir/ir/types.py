"""Types carry bits: `si8`, `ui4`, `f32`, and `tensor<?x14x14x16xsi8>`.

An integer element type states the whole range of its values, so a saturating op saturates to the range
of its result type.  The batch dimension, always the first, is written `?`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import numpy as np
import numpy.typing as npt


class Kind(StrEnum):
    """Signed integer, unsigned integer, or IEEE float."""

    SIGNED = "si"
    UNSIGNED = "ui"
    FLOAT = "f"


MAX_BITS = 63
"""int64 carries every value of the reference semantics, so no integer type is wider than 63 bits."""

_ELEMENT = re.compile(r"(si|ui|f)([1-9][0-9]?)\Z")


@dataclass(frozen=True, slots=True)
class ElementType:
    """The type of one value: a kind and a number of bits (sign bit included)."""

    kind: Kind
    bits: int

    def __post_init__(self) -> None:
        legal = self.bits in (32, 64) if self.is_float else 1 <= self.bits <= MAX_BITS
        if not legal or (self.kind is Kind.SIGNED and self.bits < 2):
            raise ValueError(f"no such element type: {self.kind}{self.bits}")

    @property
    def is_float(self) -> bool:
        """True for f32 and f64."""
        return self.kind is Kind.FLOAT

    @property
    def lo(self) -> int:
        """The smallest value."""
        return -(1 << (self.bits - 1)) if self.kind is Kind.SIGNED else 0

    @property
    def hi(self) -> int:
        """The largest value."""
        return (1 << (self.bits - (self.kind is Kind.SIGNED))) - 1

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The narrowest NumPy type that holds every value."""
        if self.is_float:
            return np.dtype(f"f{self.bits // 8}")
        width = next(w for w in (8, 16, 32, 64) if w >= self.bits)
        return np.dtype(f"{'i' if self.kind is Kind.SIGNED else 'u'}{width // 8}")

    def fills(self, dtype: np.dtype[np.generic]) -> bool:
        """True if every value of the NumPy type `dtype` is one of this type, which needs no smaller one."""
        return dtype == self.dtype and dtype.itemsize * 8 == self.bits

    def contains(self, array: npt.NDArray[np.generic]) -> bool:
        """True if every element of an integer `array` is a value of this type."""
        return array.size == 0 or (int(array.min()) >= self.lo and int(array.max()) <= self.hi)

    def __str__(self) -> str:
        return f"{self.kind}{self.bits}"

    @staticmethod
    @cache
    def parse(text: str) -> ElementType:
        """`si8` ▶ ElementType; raises ValueError for anything else."""
        match = _ELEMENT.match(text)
        if not match:
            raise ValueError(f"not an element type: {text!r}")
        return ElementType(Kind(match[1]), int(match[2]))


def si(bits: int) -> ElementType:
    """Signed integer of `bits` bits, sign included."""
    return ElementType(Kind.SIGNED, bits)


def ui(bits: int) -> ElementType:
    """Unsigned integer of `bits` bits."""
    return ElementType(Kind.UNSIGNED, bits)


F32 = ElementType(Kind.FLOAT, 32)
F64 = ElementType(Kind.FLOAT, 64)


@dataclass(frozen=True, slots=True)
class TensorType:
    """A shape and an element type; `None` is the batch dimension, known only at run time."""

    shape: tuple[int | None, ...]
    element: ElementType

    @property
    def rank(self) -> int:
        """Number of dimensions, the batch included."""
        return len(self.shape)

    @property
    def channels(self) -> int:
        """The size of the last dimension (1 for a scalar)."""
        return self.shape[-1] or 0 if self.shape else 1

    @property
    def per_sample(self) -> tuple[int, ...]:
        """The shape of one sample, without the batch dimension."""
        return tuple(d or 0 for d in self.shape[1:])

    def with_element(self, element: ElementType) -> TensorType:
        """The same shape with other elements."""
        return TensorType(self.shape, element)

    def __str__(self) -> str:
        dims = "".join(f"{'?' if d is None else d}x" for d in self.shape)
        return f"tensor<{dims}{self.element}>"

    @staticmethod
    @cache
    def parse(text: str) -> TensorType:
        """`tensor<?x10xsi8>` ▶ TensorType; raises ValueError for anything else."""
        if not (text.startswith("tensor<") and text.endswith(">")):
            raise ValueError(f"not a tensor type: {text!r}")
        *dims, element = text[7:-1].split("x")
        if not all(d == "?" or (d.isascii() and d.isdigit() and len(d) < 10) for d in dims):
            raise ValueError(f"not a tensor type: {text!r}")
        return TensorType(tuple(None if d == "?" else int(d) for d in dims), ElementType.parse(element))

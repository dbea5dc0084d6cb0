"""Where the windows of a convolution lie, and how one kernel lies inside a larger one.

Along one axis, window `o` of a kernel starts at position `o · stride - before`, where `before` is what `same` adds in
front.  A larger kernel with zeros around the old one computes the same sums if

    * it has as many windows, and
    * in each of them the old kernel starts where it did: at offset `before' - before` from the start of the new one,
      which must leave it inside of the new one.

Products with the zeros add nothing to an exact sum, whatever they read, so saturation and padding values do not
matter.  The formulas are those of `geometry.py`, so the side on which TensorFlow pads needs no case of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.dialects.geometry import Padding, borders, window_count
from cnn2snn_ir.dialects.qnn import BlockKind
from cnn2snn_ir.ir import Tensor
from cnn2snn_ir.passes.legalize.layers import kind, layer_of
from cnn2snn_ir.passes.legalize.legalization import Legalizer

Convolution = qnn.Conv2D | qnn.DepthwiseConv2D

SIZES: dict[BlockKind, tuple[int, ...]] = {
    BlockKind.INPUT_CONV2D: (3, 4, 5, 7),
    BlockKind.CONV2D: (1, 3, 5, 7),
    BlockKind.DEPTHWISE_CONV2D: (3, 5, 7),
}
"""Kernels of Akida 2; source: BrainChip user guide, as `AK2-MAP-01`."""

LARGEST = 7


@dataclass(frozen=True)
class Axis:
    """Windows along one axis of a map of `size` positions."""

    size: int
    kernel: int
    stride: int
    padding: Padding

    @property
    def count(self) -> int:
        """The number of windows, 0 if none fits."""
        try:
            return window_count(self.size, self.kernel, self.stride, self.padding)
        except ValueError:
            return 0

    @property
    def before(self) -> int:
        """Positions added in front."""
        return borders(self.size, self.kernel, self.stride, self.padding)[0]

    def offset_in(self, other: Axis) -> int | None:
        """Where this kernel starts inside of the kernel of `other`; None if no place gives the same sums."""
        if self.count != other.count or (self.count > 1 and self.stride != other.stride):
            return None
        offset = other.before - self.before
        return offset if 0 <= offset <= other.kernel - self.kernel else None


def axes(op: Convolution | qnn.MaxPool) -> tuple[Axis, Axis]:
    """Both axes of a convolution without dilation, or of a pooling."""
    size = op.size if isinstance(op, qnn.MaxPool) else kernel(op)
    rows, columns = op.x.type.shape[1:3]
    return (
        Axis(rows or 0, size[0], op.strides[0], op.padding),
        Axis(columns or 0, size[1], op.strides[1], op.padding),
    )


def kernel(conv: Convolution) -> tuple[int, int]:
    """Height and width of a kernel."""
    height, width = conv.weights.type.shape[:2]
    return height or 0, width or 0


def embed(conv: Convolution, size: int, stride: int, padding: Padding) -> Tensor | None:
    """The kernel inside a square one of another size, stride and padding; None if that computes something else."""
    offsets = [a.offset_in(replace(a, kernel=size, stride=stride, padding=padding)) for a in axes(conv)]
    top, left = offsets
    if top is None or left is None:
        return None
    height, width = kernel(conv)
    larger = np.zeros((size, size, *conv.weights.array.shape[2:]), conv.weights.array.dtype)
    larger[top : top + height, left : left + width] = conv.weights.array
    return Tensor.of(larger, conv.weights.type.element, conv.weights.name)


def paddings(conv: Convolution) -> Iterable[Padding]:
    """The border rules to try, best first: that of a pooling in the same layer; `same`, which the chip prefers."""
    pools = [op for op in layer_of(conv) if isinstance(op, qnn.MaxPool)]
    if pools and kernel(conv) == (1, 1):
        return (pools[0].padding,)
    first = pools[0].padding if pools else Padding.SAME
    return dict.fromkeys((first, conv.padding) if pools else (first, Padding.VALID))


def enlargements(conv: Convolution, stride: int) -> Iterator[tuple[Tensor, Padding]]:
    """Square kernels of the chip that compute what `conv` does, smallest first, each with its padding."""
    for size in SIZES[kind(conv)]:
        for padding in paddings(conv):
            weights = embed(conv, size, stride, padding)
            if weights is not None:
                yield weights, padding


def enlarge(conv: Convolution, stride: int, rewriter: Legalizer) -> bool:
    """Put the kernel into the smallest of the chip's that computes the same, and tell; or say why there is none."""
    if max(kernel(conv)) > LARGEST:
        return rewriter.why_not(conv, f"the chip has kernels of up to {by((LARGEST, LARGEST))}")
    found = next(enlargements(conv, stride), None)
    if found is None:
        return rewriter.why_not(
            conv, f"with {' or '.join(paddings(conv))} padding no larger kernel has the same windows"
        )
    weights, padding = found
    rewriter.tell(conv, f"made the {by(kernel(conv))} kernel of {{}} {by(weights.array.shape[:2])}")
    conv.weights, conv.padding = weights, padding
    rewriter.changed(conv)
    return True


def by(sizes: Iterable[int]) -> str:
    """`3x5`."""
    return "x".join(map(str, sizes))

"""What is wrong with an op or a block under each rule of Akida 1, as a short phrase; empty if nothing is."""

from __future__ import annotations

import math
from typing import Any

from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.dialects.qnn import BlockKind
from cnn2snn_ir.ir import Op
from cnn2snn_ir.ir.location import layers
from cnn2snn_ir.ir.verify import place
from cnn2snn_ir.passes.fuse_blocks import is_image, is_output
from cnn2snn_ir.passes.legality.akida2_predicates import CONVOLUTIONS, inside, kernel
from cnn2snn_ir.passes.legality.rule import named, unless

ACTIVATION_BITS = (1, 2, 4)
POOLED_POSITIONS = 256
"""Positions of a map that is averaged, at most; source: cnn2snn 2.19.3."""


def reader(op: Op) -> str:
    """The layer that an op belongs to, by the name its user gave it."""
    sources = layers(op.loc)
    return sources[0].name if sources else place(op)


def straight_line(op: Op) -> str:
    """Every value has one reader."""
    users = [user for result in op.results for user in result.users]
    return unless(len(users) <= 1, f"read by {' and '.join(dict.fromkeys(map(reader, users)))}")


def one_input(op: Any) -> str:
    return f"{len(op.operands)} inputs: {', '.join(named(v.owner) for v in op.operands)}"


def no_memory(op: builtin.State) -> str:
    return f"memory {op.sym_name}"


def any_op(op: Op) -> str:
    return op.op_name


# ---- weights ----------------------------------------------------------------------------------------------------


def weight_bits(op: Any) -> str:
    bits = op.weights.type.element.bits
    return unless(bits in (1, 2, 4, 8), f"{bits} bits")


def mapped_weights(op: Any) -> str:
    """Only an input convolution has weights of 8 bits on the chip."""
    first = isinstance(op, qnn.Conv2D) and is_image(op.x)
    return unless(op.weights.type.element.bits <= 4 or first, f"{op.weights.type.element.bits} bits")


def separable_bits(op: qnn.Conv2D) -> str:
    """The halves of a separable convolution."""
    depthwise = op.x.owner
    if not isinstance(depthwise, qnn.DepthwiseConv2D):
        return ""
    halves = (depthwise.weights.type.element.bits, op.weights.type.element.bits)
    return unless(halves[0] == halves[1], f"{halves[0]} and {halves[1]} bits")


def lone_depthwise(op: qnn.DepthwiseConv2D) -> str:
    """A depthwise convolution is the first half of a separable one."""
    user = op.result.users[0] if op.result.has_one_use else None
    pointwise = isinstance(user, qnn.Conv2D) and kernel(user) == (1, 1) and user.strides == (1, 1)
    return unless(pointwise, "a depthwise convolution on its own")


# ---- activations --------------------------------------------------------------------------------------------------


def unbounded(op: qnn.ReLU) -> str:
    return unless(op.max is not None, "no max_value")


def pooled_activation(op: qnn.SumPool) -> str:
    return unless(not isinstance(op.x.owner, qnn.ReLU), f"{named(op.x.owner)} before it")


def activation_type(op: qnn.Requantize | qnn.Shift) -> str:
    if isinstance(op, qnn.Shift) and alignment(op):
        return ""
    return unless(op.to.lo == 0 and op.to.bits in ACTIVATION_BITS, str(op.to))


def alignment(op: qnn.Shift) -> str:
    """A shift that does not end a layer aligns channels of different fractional bits."""
    return unless(is_output(op), "channels of different fractional bits")


def activated(block: qnn.Block) -> str:
    """Every layer but the last ends in a quantized activation."""
    if inside(block, qnn.Fire) is not None or block.kind in (BlockKind.QUANTIZER, BlockKind.DEQUANTIZER):
        return ""
    graphs = [user.graph for user in block.results[0].users if user.graph is not None]
    readers = [graph.owner for graph in graphs if isinstance(graph.owner, qnn.Block)]
    inner = [reader.layer for reader in readers if reader.kind is not BlockKind.DEQUANTIZER]
    return unless(not inner, f"potentials, read by {', '.join(inner)}")


# ---- blocks -----------------------------------------------------------------------------------------------------


def pool_padding(block: qnn.Block) -> str:
    pool, conv = inside(block, qnn.MaxPool), inside(block, qnn.Conv2D)
    if pool is None or conv is None:
        return ""
    conv = inside(block, qnn.DepthwiseConv2D) or conv
    if kernel(conv) == (1, 1) or pool.padding is conv.padding:
        return ""
    return f"convolution {conv.padding}, pooling {pool.padding}"


def padding_kind(block: qnn.Block) -> str:
    kinds = (qnn.DepthwiseConv2D, qnn.Conv2D, qnn.MaxPool)
    return unless(all(op.padding is not Padding.SAME_UPPER for op in block.body if isinstance(op, kinds)), "same_upper")


def pooled_positions(block: qnn.Block) -> str:
    pool = inside(block, qnn.SumPool)
    rows, columns = pool.x.type.shape[1:3] if pool is not None else (0, 0)
    return unless(rows * columns <= POOLED_POSITIONS, f"{rows}x{columns}")


def padding_value(block: qnn.Block) -> str:
    conv = inside(block, qnn.Conv2D)
    if conv is None or conv.pad_value is None or conv.pad_value.is_opaque:
        return ""
    found = sorted(set(conv.pad_value.int64.reshape(-1).tolist()))
    if block.kind is not BlockKind.INPUT_CONVOLUTIONAL:
        return unless(found == [0], f"{', '.join(map(str, found))} in a layer that is not the first")
    return unless(len(found) == 1 and 0 <= found[0] <= 255, ", ".join(map(str, found)))


def first_layer(block: qnn.Block) -> str:
    """Images go to an input convolution, everything else through 4-bit input data."""
    if block.kind in (BlockKind.INPUT_CONVOLUTIONAL, BlockKind.QUANTIZER):
        return ""
    given = [v for op in block.body for v in op.operands if isinstance(v.owner, builtin.Input)]
    bits = max((v.type.element.bits for v in given), default=0)
    if inside(block, (*CONVOLUTIONS, qnn.Dense)) is not None:
        bits = quantized_bits(block) or bits
    return unless(bits <= 4, f"{bits} bits")


def quantized_bits(block: qnn.Block) -> int:
    """Bits of the input quantizer that a layer reads, 0 if it reads none."""
    read = [v.owner for op in block.body for v in op.operands if isinstance(v.owner, qnn.Block)]
    return max((b.results[0].type.element.bits for b in read if b.kind is BlockKind.QUANTIZER), default=0)


def saturation(block: qnn.Block) -> str:
    """The sums of a layer saturate in one place."""
    widths = {str(op.acc) for op in block.body if isinstance(op, (*CONVOLUTIONS, qnn.Dense))}
    return unless(len(widths) <= 1, " and ".join(sorted(widths)))


# ---- the chip ---------------------------------------------------------------------------------------------------


def mapped_kernel(block: qnn.Block) -> str:
    conv = inside(block, qnn.DepthwiseConv2D) or inside(block, qnn.Conv2D)
    if conv is None:
        return ""
    (height, width), stride = kernel(conv), max(conv.strides)
    if block.kind is BlockKind.INPUT_CONVOLUTIONAL:
        legal = height == width and height in (3, 5, 7) and stride <= 3
    else:
        sizes = (3, 5, 7) if block.kind is BlockKind.SEPARABLE_CONVOLUTIONAL else (1, 3, 5, 7)
        legal = height == width and height in sizes and (stride == 1 or (stride == 2 and height == 3))
    return unless(legal, f"kernel {height}x{width}, stride {stride}")


def mapped_padding(block: qnn.Block) -> str:
    conv = inside(block, qnn.DepthwiseConv2D) or inside(block, qnn.Conv2D)
    inner = conv is not None and block.kind is not BlockKind.INPUT_CONVOLUTIONAL and kernel(conv) != (1, 1)
    return unless(not inner or conv.padding is not Padding.VALID, "valid")


FILTERS = {1: {3: 512, 5: 192, 7: 96}, 3: {3: 192, 5: 64, 7: 32}}
"""Filters of an input convolution by input channels and kernel; source: BrainChip user guide for the AKD1000."""


def mapped_filters(block: qnn.Block) -> str:
    conv = inside(block, qnn.Conv2D)
    if conv is None or block.kind is not BlockKind.INPUT_CONVOLUTIONAL:
        return ""
    height, _, channels, filters = conv.weights.type.shape
    limit = FILTERS.get(channels, {}).get(height)
    found = f"{filters} filters of {height}x{height} on {channels} channels, at most {limit}"
    return unless(limit is None or filters <= limit, found)


def mapped_input(block: qnn.Block) -> str:
    conv = inside(block, qnn.Conv2D)
    if conv is None or block.kind is not BlockKind.INPUT_CONVOLUTIONAL:
        return ""
    _, height, width, _ = conv.x.type.shape
    return unless(height >= 5 and 5 <= width <= 256, f"{height}x{width}")


def mapped_pool(block: qnn.Block) -> str:
    pool = inside(block, qnn.MaxPool)
    if pool is None:
        return ""
    first = block.kind is BlockKind.INPUT_CONVOLUTIONAL
    sizes = ((1, 1), (1, 2), (2, 1), (2, 2)) if first else ((1, 1), (2, 2))
    legal = pool.size in sizes and all(s <= n for s, n in zip(pool.strides, pool.size, strict=True))
    return unless(legal, f"size {list(pool.size)}, strides {list(pool.strides)}")


def mapped_average(block: qnn.Block) -> str:
    pool = inside(block, qnn.SumPool)
    rows, columns = pool.x.type.shape[1:3] if pool is not None else (3, 1)
    return unless(rows >= 3 and columns <= 32, f"{rows}x{columns}")


def mapped_dense(block: qnn.Block) -> str:
    dense = inside(block, qnn.Dense)
    size = math.prod(dense.x.type.per_sample) if dense is not None else 0
    return unless(size <= 57334, f"{size} inputs")

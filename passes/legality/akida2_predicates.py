"""What is wrong with an op or a block under each rule of Akida 2, as a short phrase; empty if nothing is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import dropwhile
from typing import Any

from cnn2snn_ir.analysis.interval import Range, constant_integers
from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.dialects.qnn import BlockKind
from cnn2snn_ir.ir import ElementType, Op, Tensor, Value, si, ui
from cnn2snn_ir.passes.fuse_blocks import is_window
from cnn2snn_ir.passes.legality.rule import unless
from cnn2snn_ir.passes.recurrences import projects

CONVOLUTIONS = (qnn.Conv2D, qnn.DepthwiseConv2D)
FRAMES_READ = (BlockKind.BUFFER_TEMP_CONV, BlockKind.DEPTHWISE_BUFFER_TEMP_CONV)


def inside(block: qnn.Block, kind: type[Op] | tuple[type[Op], ...]) -> Any:
    """The op of a kind in a block, or None."""
    return next((op for op in block.body if isinstance(op, kind)), None)


def kernel(op: Any) -> tuple[int, int]:
    """Height and width of a kernel."""
    height, width = op.weights.type.shape[:2]
    return height or 0, width or 0


# ---- model ------------------------------------------------------------------------------------------------------


def input_rank(op: builtin.Input) -> str:
    module = op.graph.owner if op.graph is not None else None
    recurrent = module is not None and any(isinstance(other, qnn.Recurrence) for other in module.walk())
    ranks = (1, 2, 3) if recurrent else (1, 3)
    return unless(len(op.shape) in ranks, f"samples of shape {list(op.shape)}")


def output_count(op: builtin.Module) -> str:
    return unless(len(op.outputs) == 1 and len(op.inputs) == 1, f"{len(op.inputs)} inputs, {len(op.outputs)} outputs")


def float_before_integers(op: Op) -> str:
    """Float ops may only stand behind the last integer."""
    return unless(not any(reaches_integer(r) for r in op.results), "integers computed from it")


def reaches_integer(value: Value) -> bool:
    return any(
        not result.type.element.is_float or reaches_integer(result) for user in value.users for result in user.results
    )


# ---- layers -----------------------------------------------------------------------------------------------------


def reads_frames(op: Op) -> bool:
    """True for a convolution over time: its input is a window of frames, flattened."""
    before = op.operands[0].owner
    while isinstance(before, (qnn.Shift, qnn.Reshape)):
        before = before.x.owner
    return is_window(before)


def square_kernel(op: Any) -> str:
    if reads_frames(op):
        return ""
    height, width = kernel(op)
    return unless(height == width, f"{height}x{width}")


def equal_strides(op: Any) -> str:
    return unless(op.strides[0] == op.strides[1], f"{op.strides[0]} and {op.strides[1]}")


def no_dilation(op: Any) -> str:
    return unless(op.dilation == (1, 1), f"{op.dilation[0]} and {op.dilation[1]}")


def weight_bits(op: Any) -> str:
    return unless(op.weights.type.element.bits in (4, 8), f"{op.weights.type.element.bits} bits")


def bias_bits(op: qnn.BiasAdd) -> str:
    return beyond(op.bias, si(8))


def bound_bits(op: qnn.ReLU) -> str:
    return "" if op.max is None else beyond(op.max, ui(8))


def beyond(mantissa: Tensor, element: ElementType) -> str:
    """The values of a mantissa, if they leave a type."""
    if mantissa.is_opaque or element.contains(mantissa.array):
        return ""
    return f"a mantissa of {int(mantissa.array.min())} to {int(mantissa.array.max())}"


def transposed_shape(op: Any) -> str:
    size, steps = kernel(op), tuple(op.strides)
    legal = size in ((3, 3), (4, 4)) and steps == (2, 2) and op.padding is Padding.SAME
    return unless(legal, f"kernel {size[0]}x{size[1]}, strides {steps[0]} and {steps[1]}, {op.padding}")


def table_size(op: qnn.Lookup) -> str:
    entries = op.table.type.shape[0]
    return unless(entries == 2048, f"{entries} entries")


def fused_separable(op: qnn.Conv2D) -> str:
    """A convolution that reads a depthwise accumulator: the two halves of a SeparableConv2D."""
    return unless(not isinstance(op.x.owner, qnn.DepthwiseConv2D), "a depthwise accumulator as its input")


def flat_dense_input(op: qnn.Dense) -> str:
    shape = op.x.type.per_sample
    fused = op.graph is not None and isinstance(op.graph.owner, qnn.Block)  # it was told before
    if fused or projects(op):
        return ""
    return unless(all(d == 1 for d in shape[:-1]), f"samples of shape {list(shape)}")


def concat_axis(op: qnn.Concat) -> str:
    if is_window(op):
        return ""
    return unless(op.axis == op.result.type.rank - 1, f"axis {op.axis}")


def two_parts(op: qnn.Concat) -> str:
    return unless(len(op.parts) == 2, f"{len(op.parts)} parts")


# ---- blocks -----------------------------------------------------------------------------------------------------


def padding_elsewhere(block: qnn.Block) -> str:
    conv = inside(block, qnn.Conv2D)
    padded = conv is not None and block.kind is not BlockKind.INPUT_CONV2D and conv.pad_value is not None
    return unless(not padded, "a padding value other than 0")


def padding_value_range(block: qnn.Block) -> str:
    conv = inside(block, qnn.Conv2D)
    if conv is None or block.kind is not BlockKind.INPUT_CONV2D or conv.pad_value is None or conv.pad_value.is_opaque:
        return ""
    low, high = int(conv.pad_value.int64.min()), int(conv.pad_value.int64.max())
    return unless(low >= 0 and high <= 255, f"{low} to {high}")


def input_alignment(block: qnn.Block) -> str:
    shift = inside(block, qnn.Shift)
    conv = inside(block, qnn.Conv2D)
    aligned = block.kind is BlockKind.INPUT_CONV2D and shift is not None and shift.result is conv.x
    return unless(not aligned, "inputs of different fractional bits")


def first_layer_type(block: qnn.Block) -> str:
    if block.kind in (BlockKind.INPUT_CONV2D, BlockKind.QUANTIZER):
        return ""
    return unless(not any(v.type.element.lo == 0 for v in outside_inputs(block)), "an unsigned model input")


def outside_inputs(block: qnn.Block) -> Iterator[Value]:
    """Model inputs that a block reads."""
    return (v for op in block.body for v in op.operands if isinstance(v.owner, builtin.Input))


def pool_padding(block: qnn.Block) -> str:
    pool, conv = inside(block, qnn.MaxPool), inside(block, CONVOLUTIONS)
    if pool is None or conv is None or kernel(conv) == (1, 1):
        return ""
    return unless(pool.padding is conv.padding, f"convolution {conv.padding}, pooling {pool.padding}")


def pool_square(block: qnn.Block) -> str:
    pool = inside(block, qnn.MaxPool)
    if pool is None:
        return ""
    square = pool.size[0] == pool.size[1] and pool.strides[0] == pool.strides[1]
    return unless(square, f"size {list(pool.size)}, strides {list(pool.strides)}")


def pool_activation(block: qnn.Block) -> str:
    active = inside(block, (qnn.ReLU, qnn.Lookup)) is not None
    return unless(inside(block, qnn.MaxPool) is None or active, "no activation")


def two_poolings(block: qnn.Block) -> str:
    both = inside(block, qnn.MaxPool) is not None and inside(block, qnn.SumPool) is not None
    return unless(not both, "max pooling and global average pooling")


def depthwise_average(block: qnn.Block) -> str:
    average = block.kind is BlockKind.DEPTHWISE_CONV2D and inside(block, qnn.SumPool) is not None
    return unless(not average, "a depthwise convolution before it")


def over_time(block: qnn.Block) -> bool:
    """True for layers that read or write a FIFO of frames."""
    return block.kind in (*FRAMES_READ, BlockKind.FIFO_PUSH)


def block_reshape(block: qnn.Block) -> str:
    """Only a dense layer may flatten; elsewhere a reshape may add or drop leading dimensions of size 1."""
    for op in block.body:
        if isinstance(op, qnn.Reshape) and block.kind is not BlockKind.DENSE1D and not over_time(block):
            before, after = op.x.type.per_sample, op.result.type.per_sample
            if without_leading_ones(before) != without_leading_ones(after):
                return f"{list(before)} to {list(after)}"
    return ""


def without_leading_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """What tells one map from another: vectors are maps of one position."""
    return tuple(dropwhile(lambda d: d == 1, shape))


def alignment(block: qnn.Block) -> str:
    """A layer aligns its inputs by one left shift, in its accumulator, before it looks at shapes."""
    main = inside(block, (*CONVOLUTIONS, qnn.Dense, qnn.Add))
    for value in main.operands if main is not None else ():
        shifts = list(preparing(value, block))
        if len(shifts) > 1:
            return f"{len(shifts)} shifts in a row"
        if not shifts or shifts[0].shift.is_opaque:
            continue
        if found := misalignment(shifts[0], main.acc):
            return found
        by_channel = shifts[0].shift.type.shape and shifts[0].x.type.channels != value.type.channels
        if by_channel and not over_time(block):  # frames are flattened by the layer itself
            return "a shift by channel before a reshape"
    return ""


def preparing(value: Value, block: qnn.Block) -> Iterator[qnn.Shift]:
    """The shifts of a block between what it reads and `value`."""
    while (op := value.owner).graph is block.body:
        if isinstance(op, qnn.Shift):
            yield op
        value = op.operands[0]


def misalignment(shift: qnn.Shift, accumulator: ElementType) -> str:
    """Why a shift is not the alignment of an operand that is summed up in `accumulator`."""
    moves = constant_integers(shift.shift)
    if moves.min() < 0:
        return "a shift to the right"
    aligned = Range.full(shift.x.type.element).shift_left(moves)
    saturates = shift.to != accumulator and not (aligned.within(shift.to) and aligned.within(accumulator))
    return unless(not saturates, f"saturation to {shift.to}")


def shared_buffer(block: qnn.Block) -> str:
    """The sum of a pooling and the product with the scale live in one buffer."""
    total, product = inside(block, qnn.SumPool), inside(block, qnn.Requantize)
    differ = total is not None and product is not None and total.acc != product.buffer
    return unless(not differ, f"{total.acc} and {product.buffer}" if differ else "")


# ---- the chip ---------------------------------------------------------------------------------------------------


def mapped_kernel(block: qnn.Block) -> str:
    conv = inside(block, CONVOLUTIONS)
    if conv is None or kernel(conv)[0] != kernel(conv)[1]:
        return ""
    size, stride = kernel(conv)[0], max(conv.strides)
    if block.kind is BlockKind.INPUT_CONV2D:
        limit = {3: 3, 4: 4, 5: 5, 7: 6}.get(size, 0)
        return unless(stride <= limit, f"kernel {size}, stride {stride}")
    sizes = (3, 5, 7) if block.kind is BlockKind.DEPTHWISE_CONV2D else (1, 3, 5, 7)
    return unless(size in sizes and stride <= 2, f"kernel {size}, stride {stride}")


def mapped_padding(block: qnn.Block) -> str:
    conv, pool = inside(block, CONVOLUTIONS), inside(block, qnn.MaxPool)
    if conv is None or over_time(block):
        return ""
    image = block.kind is BlockKind.INPUT_CONV2D
    padding = conv.padding
    if kernel(conv) == (1, 1):  # which pads as its pooling does
        padding = pool.padding if pool else Padding.SAME
    elif padding is Padding.SAME_UPPER:
        sizes = (3, 5, 7) if image else (3,)
        legal = conv.strides == (2, 2) and kernel(conv)[0] in sizes and pool is None
        return unless(legal, f"same_upper, kernel {kernel(conv)[0]}, stride {conv.strides[0]}{', pooled' * bool(pool)}")
    return unless(image or padding is Padding.SAME, padding)


def mapped_channels(block: qnn.Block) -> str:
    main = inside(block, (*CONVOLUTIONS, qnn.Dense))
    if main is None:
        return ""
    limit = 512 if block.kind is BlockKind.INPUT_CONV2D else 2048
    return unless(main.result.type.channels <= limit, f"{main.result.type.channels} filters")


def mapped_dense(block: qnn.Block) -> str:
    dense = inside(block, qnn.Dense)
    return unless(dense is None or dense.x.type.channels <= 2048, f"{dense.x.type.channels if dense else 0} inputs")


def table_after_pooling(block: qnn.Block) -> str:
    both = inside(block, qnn.MaxPool) is not None and inside(block, qnn.Lookup) is not None
    return unless(not both, "max pooling before it")


def depthwise_stride(block: qnn.Block) -> str:
    conv = inside(block, qnn.DepthwiseConv2D)
    large = conv is not None and max(conv.strides) > 1 and max(kernel(conv)) > 3
    return unless(not large, f"kernel {kernel(conv)[0]}, stride {max(conv.strides)}" if large else "")


def twins(block: qnn.Block) -> str:
    """Alignment is the layer's own, so its inputs are compared before it."""
    if block.kind not in (BlockKind.ADD, BlockKind.CONCATENATE):
        return ""
    read = {v for op in block.body for v in op.operands if v.owner.graph is not block.body}
    return unless(len(read) > 1, "one tensor for all inputs")


def fan_out(block: qnn.Block) -> str:
    result = block.results[0]
    if result.type.rank != 4:
        return ""
    inner = [user for user in result.users if user.graph is not block.graph]
    graphs = {user.graph for user in inner if not pushes_frame(user)}
    others = [user for user in result.users if user.graph is block.graph and not isinstance(user, builtin.Return)]
    count = len(graphs) + len(others)
    return unless(count <= 2, f"{count} layers")


def pushes_frame(op: Op) -> bool:
    """True for ops of a FIFO, which is one layer with the convolution over time."""
    block = op.graph.owner if op.graph is not None else None
    return isinstance(block, qnn.Block) and block.kind is BlockKind.FIFO_PUSH


def left_over(op: Op) -> str:
    """An op outside of all blocks is one that no layer takes."""
    outside = op.graph is not None and isinstance(op.graph.owner, builtin.Module)
    told = isinstance(op, qnn.Recurrence) or projects(op)
    return unless(not outside or told, f"{op.op_name} on its own")

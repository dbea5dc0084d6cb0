"""Block fusion: the ops that one hardware layer computes together move into a `qnn.block`.

    %1 = qnn.conv2d %0, #w<conv/kernel, …> : tensor<?x8x8x16xsi28>
    %2 = qnn.bias_add %1, #w<conv/bias, …> {shift = …} : tensor<?x8x8x16xsi28>
    %3 = qnn.relu %2 : tensor<?x8x8x16xsi28>
    %relu = qnn.requantize %3, #w<…>, #w<…> {to = si8} : tensor<?x8x8x16xsi8>
▶
    %relu = qnn.block {kind = conv2d, layer = "conv"} {
      %1 = qnn.conv2d %0, …
      %2 = qnn.bias_add %1, …
      %3 = qnn.relu %2
      %4 = qnn.requantize %3, …
      builtin.return %4
    } : tensor<?x8x8x16xsi8>

A block grows from its main op: backwards over what prepares the operands, forwards over the stages of the
table below, in their order, as long as each value has one user.  Where a stage is missing because a value has
other users, `why_not` says so.

Preconditions: `fold-scales`.  Contract: exact; nothing is computed differently.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.dialects.levels import Level
from cnn2snn_ir.dialects.qnn import BlockKind
from cnn2snn_ir.ir import Graph, Op, Value, fuse
from cnn2snn_ir.ir.location import layers
from cnn2snn_ir.ir.rewrite import Rewriter
from cnn2snn_ir.passes.base import Pass, PassContext, option
from cnn2snn_ir.passes.recurrences import surroundings
from cnn2snn_ir.versions import AkidaVersion

Stage = tuple[type[Op], ...]

TABLE: Stage = (qnn.Lookup,)
"""An activation by table, with the requantization to its index and a pooling between the two."""

CONV_STAGES: tuple[Stage, ...] = (
    (qnn.BiasAdd,),
    (qnn.MaxPool,),
    TABLE,
    (qnn.ReLU,),
    (qnn.SumPool,),
    (qnn.Requantize, qnn.Shift),
)
TRANSPOSED_STAGES: tuple[Stage, ...] = ((qnn.BiasAdd,), TABLE, (qnn.ReLU,), (qnn.Requantize, qnn.Shift))
DENSE_STAGES: tuple[Stage, ...] = ((qnn.BiasAdd,), (qnn.ReLU,), (qnn.Requantize, qnn.Shift))


FRAMES: Stage = (qnn.Reshape,)
"""What puts the positions of a depthwise convolution over time back into a map."""

TEMPORAL_STAGES: tuple[Stage, ...] = (FRAMES, (qnn.BiasAdd,), (qnn.ReLU,), (qnn.Requantize, qnn.Shift))
TEMPORAL_KINDS = {
    BlockKind.CONV2D: BlockKind.BUFFER_TEMP_CONV,
    BlockKind.DEPTHWISE_CONV2D: BlockKind.DEPTHWISE_BUFFER_TEMP_CONV,
}
"""What the convolutions are called that read a window of frames."""


INPUT_KINDS = {
    BlockKind.CONV2D: BlockKind.INPUT_CONV2D,
    BlockKind.CONVOLUTIONAL: BlockKind.INPUT_CONVOLUTIONAL,
}
"""What the convolutions are called that read an image."""


class Pattern(NamedTuple):
    """How a block grows from its main op."""

    main: type[Op]
    kind: BlockKind
    before: tuple[type[Op], ...] = ()
    after: tuple[Stage, ...] = ()


AKIDA2_PATTERNS = (
    Pattern(qnn.Conv2D, BlockKind.CONV2D, (qnn.Shift, qnn.Reshape), CONV_STAGES),
    Pattern(qnn.DepthwiseConv2D, BlockKind.DEPTHWISE_CONV2D, (qnn.Shift, qnn.Reshape), CONV_STAGES),
    Pattern(qnn.Conv2DTranspose, BlockKind.CONV2D_TRANSPOSE, (qnn.Shift,), TRANSPOSED_STAGES),
    Pattern(qnn.DepthwiseConv2DTranspose, BlockKind.DEPTHWISE_CONV2D_TRANSPOSE, (qnn.Shift,), TRANSPOSED_STAGES),
    Pattern(qnn.Recurrence, BlockKind.STATEFUL_RECURRENT, (qnn.Shift,), DENSE_STAGES),
    Pattern(qnn.Deviation, BlockKind.PICO_POST_PROCESSING, (qnn.Requantize,)),
    Pattern(qnn.Dense, BlockKind.DENSE1D, (qnn.Shift, qnn.Reshape), DENSE_STAGES),
    Pattern(qnn.Slice, BlockKind.FIFO_PUSH),
    Pattern(qnn.Add, BlockKind.ADD, (qnn.Shift,), ((qnn.Shift,),)),
    Pattern(qnn.Concat, BlockKind.CONCATENATE),
    Pattern(qnn.Quantize, BlockKind.QUANTIZER),
    Pattern(qnn.QuantizeLinear, BlockKind.QUANTIZER),
    Pattern(qnn.Dequantize, BlockKind.DEQUANTIZER, (qnn.Reshape,)),
)
"""Source: the block patterns of cnn2snn 2.19.3 for Akida 2 (Apache-2.0), restated in terms of `qnn` ops."""

NEURON_STAGES: tuple[Stage, ...] = ((qnn.MaxPool,), (qnn.SumPool,), (qnn.BiasAdd,), (qnn.Fire,))

AKIDA1_PATTERNS = (
    Pattern(qnn.Conv2D, BlockKind.CONVOLUTIONAL, (qnn.DepthwiseConv2D,), NEURON_STAGES),
    Pattern(qnn.Dense, BlockKind.FULLY_CONNECTED, (qnn.Reshape,), ((qnn.BiasAdd,), (qnn.Fire,))),
    Pattern(qnn.Quantize, BlockKind.QUANTIZER),
    Pattern(qnn.Dequantize, BlockKind.DEQUANTIZER, (qnn.Reshape,)),
)
"""Source: the same for Akida 1, once thresholds are synthesized; only the last layer has a bias of its own."""

QUANTIZERS = (qnn.Quantize, qnn.QuantizeLinear)
"""What makes integers of a float input."""

GREEDY: tuple[type[Op], ...] = (qnn.Deviation, qnn.Recurrence)
"""What takes its ops before other layers can: its quantizer, or its projections."""

PATTERNS = {AkidaVersion.v1: AKIDA1_PATTERNS, AkidaVersion.v2: AKIDA2_PATTERNS}


def turn(op: Op) -> int:
    """When the block of an op is formed: the greedy ones first."""
    return GREEDY.index(type(op)) if type(op) in GREEDY else len(GREEDY)


def grow(main: Op, pattern: Pattern, rewriter: Rewriter) -> list[Op]:
    """The ops of the block around `main`, in order; none for a recurrence without its projections."""
    middle, missing = surroundings(main) if isinstance(main, qnn.Recurrence) else ((main,), "")
    if missing:
        return []
    before = list(preparation(middle[0], pattern))
    after: list[Op] = []
    tail = middle[-1].results[0]
    temporal = any(is_window(op) for op in before)
    for stage in TEMPORAL_STAGES if temporal and pattern.kind in TEMPORAL_KINDS else pattern.after:
        user = only_user(tail, stage, rewriter)
        found = with_table(tail) if stage is TABLE else [] if user is None else [user]
        if found:
            after.extend(found)
            tail = found[-1].results[0]
    return [*before, *middle, *after]


def with_table(value: Value) -> list[Op]:
    """The requantization to a table's index, a pooling, and the table, if they follow `value` alone."""
    found: list[Op] = []
    for kinds in ((qnn.Requantize, qnn.Shift), (qnn.MaxPool,), TABLE):
        user = value.users[0] if value.has_one_use else None
        if isinstance(user, kinds):
            found.append(user)
            value = user.results[0]
    return found if found and isinstance(found[-1], TABLE) else []


def preparation(op: Op, pattern: Pattern) -> Iterator[Op]:
    """What only prepares the operands of `op`, producers first."""
    for value in dict.fromkeys(op.operands):
        producer = value.owner
        absorbed = isinstance(producer, pattern.before) and not is_output(producer)
        if value.users == (op,) and (absorbed or is_window(producer) or feeds_window(producer)):
            yield from preparation(producer, pattern)
            yield producer


def is_window(op: Op) -> bool:
    """True for the frames of a FIFO with the newest one behind them."""
    return isinstance(op, qnn.Concat) and isinstance(op.parts[0].owner, builtin.State)


def feeds_window(op: Op) -> bool:
    """True for what makes a frame of a map."""
    return isinstance(op, qnn.Reshape) and all(is_window(user) for user in op.result.users)


def part_windows(graph: Graph) -> None:
    """Give every user of a window a window of its own: one for the layer, one for the FIFO of the next call."""
    for window in [op for op in graph if is_window(op)]:
        for user in window.results[0].users[1:]:
            copies: dict[Value, Value] = {}
            for op in (*(v.owner for v in window.operands if feeds_window(v.owner)), window):
                graph.insert_before(user, op.clone(copies))
            first, second = window.results[0], copies[window.results[0]]
            first.replace_uses_where(second, lambda use, user=user: use.op is user)  # type: ignore[misc]


def is_output(op: Op) -> bool:
    """True for a shift that ends the layer before: its operand is an accumulator."""
    return isinstance(op, qnn.Shift) and op.to.bits <= op.x.type.element.bits


def only_user(value: Value, stage: Stage, rewriter: Rewriter) -> Op | None:
    """The op of the stage that uses `value`, if it is its only user."""
    matching = [user for user in value.users if isinstance(user, stage) and user.graph is value.owner.graph]
    if not matching or (isinstance(matching[0], qnn.Shift) and not is_output(matching[0])):
        return None
    if len(value.uses) > 1:
        others = ", ".join(sorted(f"%{r.name or '?'}" for u in value.users for r in u.results))
        rewriter.why_not(matching[0], f"%{value.name or '?'} has {len(value.uses)} users: {others}")
        return None
    return matching[0]


def kind_of(main: Op, pattern: Pattern, ops: list[Op]) -> BlockKind:
    """The hardware layer: the first convolution of an image is an input convolution.

    Without an activation it is one only where an ONNX file says so, by a quantizer that divides.
    """
    if any(is_window(op) for op in ops):
        return TEMPORAL_KINDS.get(pattern.kind, pattern.kind)
    if ops[0] is not main and isinstance(ops[0], qnn.DepthwiseConv2D):
        return BlockKind.SEPARABLE_CONVOLUTIONAL
    x = ops[0].operands[0]
    activated = any(isinstance(op, (qnn.ReLU, qnn.Lookup, qnn.Fire)) for op in ops)
    if pattern.kind in INPUT_KINDS and is_image(x) and (activated or isinstance(maker(x), qnn.QuantizeLinear)):
        return INPUT_KINDS[pattern.kind]
    return pattern.kind


def maker(x: Value) -> Op:
    """The op that makes a value, inside of the block if that is a quantizer's."""
    owner = x.owner
    if isinstance(owner, qnn.Block) and owner.kind is BlockKind.QUANTIZER:
        return next(op for op in owner.body if isinstance(op, QUANTIZERS))
    return owner


def is_image(x: Value) -> bool:
    """True for a model input, or an unsigned input quantizer's output, of 1 or 3 channels and 8 bits."""
    owner = maker(x)
    if isinstance(owner, builtin.Input):
        unsigned = owner.element.bits == 8 and owner.element.lo == 0
    elif isinstance(owner, QUANTIZERS):
        unsigned = owner.to.hi == 255  # si9: QuantizeML leaves inputs below the calibrated minimum negative
    else:
        return False
    return unsigned and x.type.channels in (1, 3)


def namesake(main: Op, ops: list[Op]) -> Op:
    """The op whose layer a block is called after: the main one, or the last projection of a recurrence."""
    return next(op for op in reversed(ops) if isinstance(op, qnn.Dense)) if isinstance(main, qnn.Recurrence) else main


def outline(ops: list[Op], kind: BlockKind, main: Op) -> qnn.Block:
    """Move `ops` into a block that stands where the last of them stood; what is stored is stored behind it."""
    last = ops[-1]
    graph = last.graph
    assert graph is not None
    result, *memory = results = [last.results[0], *(r for op in ops[:-1] for r in op.results[1:])]
    stores = [graph.remove(store) for value in memory for store in value.users]
    name, annotations = result.name, dict(last.annotations)
    anchor = last.next
    assert anchor is not None
    body = Graph()
    for op in ops:
        body.append(graph.remove(op))
    result.name = None
    last.annotations.clear()
    body.append(builtin.Return(tuple(results)))
    source = next((layer.name for layer in layers(main.loc)), name or main.op_name)
    block = qnn.Block(kind, source, body, loc=fuse(*(op.loc for op in ops)), annotations=annotations)
    for inner, outer in zip(results, block.results, strict=True):
        inner.replace_uses_where(outer, lambda use: use.op.graph is not body)
    graph.insert_before(anchor, block)
    block.results[0].name = name
    for store in stores:
        graph.insert_before(anchor, store)
    return block


@dataclass(frozen=True)
class FuseBlocks(Pass):
    """Group the ops that one hardware layer computes together."""

    name = "fuse-blocks"
    requires = Level.QNN
    ensures = Level.QNN

    target: AkidaVersion = option(AkidaVersion.v2, "the generation whose layers are formed")

    def run(self, op: Op, context: PassContext) -> bool:
        rewriter = Rewriter(current=self.name)
        patterns = {p.main: p for p in PATTERNS.get(self.target, ())}
        changed = False
        for graph in op.regions:
            part_windows(graph)
            for main in sorted(graph, key=turn):
                pattern = patterns.get(type(main))
                if main.graph is not graph or pattern is None or is_window(main):  # which its reader takes
                    continue
                if ops := grow(main, pattern, rewriter):
                    block = outline(ops, kind_of(main, pattern, ops), namesake(main, ops))
                    context.statistics[f"{self.name}: {block.kind}"] += 1
                    changed = True
        context.absorb(self.name, rewriter)
        return changed

"""Finer potentials, paid for with neurons: a layer reads several copies of each of its channels.

    %2 = qnn.threshold %1, #w<thresholds> {to = ui4} : tensor<?x8x8x16xui4>
    %3 = qnn.conv2d %2, #w<kernel, si4[3, 3, 16, 32]> : tensor<?x8x8x32xsi28>
▶
    %2 = qnn.threshold %1, #w<thresholds> {to = ui4} : tensor<?x8x8x32xui4> meta {copies = 2}
    %3 = qnn.conv2d %2, #w<kernel, si4[3, 3, 32, 32]> : tensor<?x8x8x32xsi28>      twice what it was

A threshold is an integer, so a neuron's boundaries lie as finely as its potentials do (`widen-weights`).  Weights that
fill 4 bits leave no room to multiply them; two weights for two equal inputs add up to twice as much as either.  Where
two registers cannot put every level of a layer right, the layer before gets its neurons twice or more, and the weights
of each filter are multiplied by as much as the copies can carry between them.  Of the numbers of copies up to
`copies`, the smallest is taken that puts all levels right, or else the one that moves the fewest potentials.

Twice the neurons cost twice the events of that layer and twice the weights of this one.  All copies of a channel come
before the next copies, and the layer says how many there are: the annotation `copies`.

Preconditions: `fold-thresholds`; nothing saturates.  Contract: exact; potentials and what lies between the levels and
the sums lose their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cnn2snn_ir.analysis.interval import Range, integers
from cnn2snn_ir.analysis.ranges import value_ranges
from cnn2snn_ir.diagnostics import Diagnostic, Severity
from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.ir import Op, Tensor, Value
from cnn2snn_ir.ir.verify import place
from cnn2snn_ir.passes.base import Pass, PassContext, option
from cnn2snn_ir.passes.copies import COPIES
from cnn2snn_ir.passes.legality.rule import named
from cnn2snn_ir.passes.legalize.legalization import LEGALIZED
from cnn2snn_ir.passes.neurons import Main, activations, main_of, misplaced, path, source_of
from cnn2snn_ir.passes.sink_biases import may_saturate
from cnn2snn_ir.passes.widen_weights import WIDE, move_boundaries
from cnn2snn_ir.reference.arithmetic import Ints


class Reading(NamedTuple):
    """A layer, and the neurons that alone it reads."""

    threshold: qnn.Threshold
    main: Main
    source: qnn.Threshold
    source_main: Main


class Choice(NamedTuple):
    """So many copies, what the filters are multiplied by then, and the potentials of each that still differ."""

    copies: int
    factors: Ints
    moved: Ints


@dataclass(frozen=True)
class RefinePotentials(Pass):
    """Let layers read copies of their channels where that puts levels right."""

    name = "refine-potentials"

    copies: int = option(2, help="how often a layer may have each of its channels, at most")

    def run(self, op: Op, context: PassContext) -> bool:
        assert isinstance(op, builtin.Module)
        ranges = value_ranges(op)
        changed = False
        for threshold in activations(op):
            before = misplaced(threshold, ranges[threshold.x])
            if not before.any():
                continue
            reading = reading_of(threshold)
            found = reading if isinstance(reading, str) else self.choose(reading, before, ranges)
            if isinstance(found, str):
                context.why_not[f"{self.name} on {place(threshold)}"] = found
                continue
            assert isinstance(reading, Reading)
            context.diagnostics.add(told(reading, before, found))
            refine(reading, found)
            context.statistics[f"{self.name}: layers"] += 1
            changed = True
        return changed

    def choose(self, reading: Reading, before: Ints, ranges: Mapping[Value, Range]) -> Choice | str:
        """The best number of copies, where `before` potentials differ with one; or why there is none."""
        threshold, main = reading.threshold, reading.main
        best = Choice(1, np.ones(1, np.int64), before)
        why = "copies put no further level right"
        for copies in range(2, self.copies + 1):
            factors = room(main, copies)
            finer = {value: ranges[value].times(integers(factors)) for value in (main.results[0], threshold.x)}
            if any(may_saturate(value, finer) for value in finer):
                why = "the finer potentials may saturate"
                break
            left = misplaced(threshold, ranges[threshold.x], factors)
            if left.sum() < best.moved.sum():
                best = Choice(copies, factors, left)
            if not left.any():
                break
        return best if best.copies > 1 else why


def room(main: Main, copies: int) -> Ints:
    """What each filter can be multiplied by when every weight becomes the sum of so many."""
    weights = main.weights.int64.reshape(-1, main.weights.array.shape[-1])
    high, low = np.maximum(weights.max(axis=0), 1), np.minimum(weights.min(axis=0), -1)
    found: Ints = np.maximum(np.minimum(copies * WIDE.hi // high, copies * WIDE.lo // low), 1)
    return found


def reading_of(op: qnn.Threshold) -> Reading | str:
    """The layer that ends in `op` and what it reads, or why that cannot have copies."""
    main = main_of(op)
    if main is None:
        return "its potentials are no sums of a layer alone"
    source = source_of(main)
    source_main = main_of(source) if isinstance(source, qnn.Threshold) else None
    if not isinstance(source, qnn.Threshold) or source_main is None:
        return "it reads no neurons"
    between = path(source.result, main)
    makers = [value.owner for value in between[1:]]
    weights = [main.weights, *(maker.weights for maker in makers if isinstance(maker, qnn.DepthwiseConv2D))]
    if any(tensor.type.element.bits > WIDE.bits for tensor in weights):
        return "its weights have more bits than a copy would have"
    if any(maker.shape[-1] % source.result.type.channels for maker in makers if isinstance(maker, qnn.Reshape)):
        return "a reshape in front of it parts the channels of a position"
    inner = (*path(source_main.results[0], source), *between, *path(main.results[0], op))
    if not all(value.has_one_use for value in inner):
        return "others read its sums or the neurons before it, too"
    return Reading(op, main, source, source_main)


def refine(reading: Reading, choice: Choice) -> None:
    """Repeat the neurons, divide the multiplied weights among them, and move the boundaries."""
    threshold, main, source, source_main = reading
    channels = source.result.type.channels
    repeat_neurons(source, source_main, choice.copies)
    for value in path(source.result, main)[1:]:
        repeat_channels(value.owner, choice.copies)
    main.weights = Tensor.of(divided(main, channels, choice), WIDE, main.weights.name)
    move_boundaries(threshold, main, choice.factors)


def divided(main: Main, channels: int, choice: Choice) -> Ints:
    """The multiplied weights, each the sum of those for the copies of its channel: w = sum of floor((w + i) / n)."""
    weights = main.weights.int64 * choice.factors
    *window, inputs, filters = weights.shape
    parts = weights.reshape(-1, 1, channels, filters) + np.arange(choice.copies)[:, None, None]
    found: Ints = (parts // choice.copies).reshape(*window, inputs * choice.copies, filters)
    return found


def repeat_neurons(source: qnn.Threshold, main: Main, copies: int) -> None:
    """Let a layer have each of its neurons so often."""
    main.weights = repeated(main.weights, copies, axis=-1)
    for value in path(main.results[0], source):
        retype(value)
        value.name = None
    if source.thresholds.array.shape[0] > 1:
        source.thresholds = repeated(source.thresholds, copies, axis=0)
    source.annotations[COPIES] = copies
    retype(source.result)


def repeat_channels(op: Op, copies: int) -> None:
    """The same for what lies between neurons and the layer that reads them."""
    if isinstance(op, qnn.DepthwiseConv2D):
        weights = repeated(op.weights, copies, axis=-1)
        op.weights = Tensor.of(weights.int64, WIDE, weights.name)  # both halves of a separable layer have one width
    elif isinstance(op, qnn.Reshape):
        size = np.prod(op.x.type.per_sample) // np.prod(op.shape)  # of the operand, which has its copies already
        op.shape = (*op.shape[:-1], op.shape[-1] * int(size))
    (value,) = op.results
    retype(value)
    value.name = None


def repeated(tensor: Tensor, copies: int, axis: int) -> Tensor:
    """A constant that goes on from its beginning."""
    return Tensor.of(np.concatenate([tensor.array] * copies, axis), tensor.type.element, tensor.name)


def retype(value: Value) -> None:
    """The type that a result has after its operand or its weights have changed."""
    (value.type,) = value.owner.infer()


def told(reading: Reading, before: Ints, choice: Choice) -> Diagnostic:
    """The remark about a layer."""
    neurons, wrong, left = reading.source.result.type.channels, np.count_nonzero(before), np.count_nonzero(choice.moved)
    message = (
        f"refine-potentials gave {named(reading.main)} {choice.copies} copies of the {neurons} channels that it reads: "
        f"{wrong} of {len(before)} channels had levels that two registers cannot put right, {left or 'none'} still"
    )
    return Diagnostic(LEGALIZED, message, where=named(reading.threshold), severity=Severity.REMARK)

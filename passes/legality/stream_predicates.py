"""What is wrong with layers that remember, under each rule of Akida 2; empty if nothing is."""

from __future__ import annotations

from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.passes.legality.akida2_predicates import FRAMES_READ, inside
from cnn2snn_ir.passes.legality.rule import unless
from cnn2snn_ir.passes.recurrences import surroundings


def memory(op: builtin.State) -> str:
    layers = (qnn.Concat, qnn.Recurrence, qnn.Block)
    return unless(all(isinstance(user, layers) for user in op.result.users), f"the memory {op.sym_name}")


def projections(op: qnn.Recurrence) -> str:
    fused_without = isinstance(op.x.owner, qnn.Block)  # it was told before blocks were formed
    return "" if fused_without else surroundings(op).missing


def one_buffer(op: qnn.Recurrence) -> str:
    """What rescales the inputs saturates as the recurrence does, and both projections sum in one accumulator."""
    before = [o for o in surroundings(op).ops if isinstance(o, (qnn.Requantize, qnn.Shift, qnn.Scale))]
    widths = {str(o.buffer) for o in before if isinstance(o, qnn.Requantize)} | {str(o.to) for o in before}
    if not widths <= {str(op.acc)}:
        return f"{', '.join(sorted(widths))} and {op.acc}"
    sums = {str(o.acc) for o in surroundings(op).ops if isinstance(o, qnn.Dense)}
    return unless(len(sums) <= 1, f"projections in {' and '.join(sorted(sums))}")


def threshold_range(op: qnn.Deviation) -> str:
    return unless(0 <= op.threshold < 1 << 16, f"{op.threshold}")


def state_channels(op: qnn.Recurrence) -> str:
    states = op.x.type.channels
    return unless(states <= 256 and states.bit_count() == 1, f"{states}")


def state_steps(op: qnn.Recurrence) -> str:
    steps = next((o.step for o in surroundings(op).ops if isinstance(o, qnn.Slice)), 1)
    return unless(steps <= 4, f"one of {steps}")


def recurrent_layers(op: builtin.Module) -> str:
    states = [inner.x.type.channels for inner in op.body.walk() if isinstance(inner, qnn.Recurrence)]
    if len(states) > 8:
        return f"{len(states)} layers"
    return unless(len(set(states)) <= 1, f"states of {', '.join(map(str, states))} channels")


def mapped_frames(block: qnn.Block) -> str:
    window = inside(block, qnn.Concat) if block.kind in FRAMES_READ else None
    frames = 0 if window is None else window.result.type.shape[3]
    return unless(frames in (0, *range(2, 11)), f"{frames} frames")

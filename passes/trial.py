"""Trial runs: a module before and after it is rewritten, on the same inputs, compared under a contract.

Outputs and memory are compared, and every value that keeps its name and its size, in each copy of its channels; shapes
may differ by dimensions of 1, as vectors become maps.  A real value that became an integer is compared with what that
stands for, if its annotations (`scale`, `frac_bits`) tell; one that was multiplied by something (`rate`) with what it
was before.  Floats are compared for equality under an exact contract; under `max-lsb(k)` those that integers were just
made into, in steps of these integers, and others are left to where they come from.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.diagnostics import Diagnostic
from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.dialects.builtin import Input, Module
from cnn2snn_ir.dialects.hardware import LinearQuantizerLayer, QuantizerLayer
from cnn2snn_ir.ir import AttrValue, ElementType, Op, Tensor
from cnn2snn_ir.passes.base import OFF_BY, RATE, Contract, Pass
from cnn2snn_ir.passes.copies import copies_of, in_copies
from cnn2snn_ir.reference import run as interpret
from cnn2snn_ir.reference.arithmetic import values

Array = npt.NDArray[Any]

ADVERSARIAL = ("min", "max", "zero", "one-hot", "ramp")
"""Inputs that every validation starts with, before the random ones."""

FLOAT_RANGE = (-1.0, 1.0)
"""Where float inputs that nothing quantizes are drawn from."""

EXPONENTS = (-100, 100)
"""Bounds of the exponents taken from quantizers: outside of them lies no float32 worth trying."""


ONE_STEP = Contract(max_lsb=1.01, relative=1e-6)
"""What a tie may move a value by; a step that is a float is a little larger."""

FEW, MOST_TIES = 1 / 500, 2
"""The part of the elements that may be ties, and how many may be in any case."""


class Results(NamedTuple):
    """What one run of a module gave: every named value in order of computation, the outputs, what it remembers."""

    values: dict[str, Array]
    off_by: dict[str, tuple[int, ...]]
    """What ops state about their results, by name: how far they may be off, one number a channel."""
    copies: dict[str, int]
    """How often a value has each of its channels, by name."""
    outputs: tuple[Array, ...]
    memory: dict[str, Array]
    units: dict[str, Array]
    """The real distance of two neighbouring integers, by the names of values that are such or were made of such."""
    output_units: tuple[Array | None, ...]
    output_off_by: tuple[tuple[int, ...], ...]


class Trial(NamedTuple):
    """What a module is run on: a batch for every input, and something that each of its streams remembers."""

    inputs: dict[str, Array]
    memory: dict[str, Array]
    names: tuple[str, ...]
    """What each sample is."""
    seed: int = 0

    @classmethod
    def of(cls, module: Module, count: int, *, adversarial: bool = True, seed: int = 0) -> Trial:
        """`count` random samples for every input, behind the adversarial ones."""
        draw = Draw(seed)
        first = 0 if adversarial else len(ADVERSARIAL)
        names = (*ADVERSARIAL, *(f"random {i}" for i in range(count)))[first:]
        inputs = {op.result.name or "": batch(op, count, draw)[first:] for op in module.inputs}
        streams = len(names)
        memory = {
            op.sym_name: draw.integers(op.element, streams * math.prod(op.shape)).reshape(streams, *op.shape)
            for op in module.states
        }
        return cls(inputs, memory, names, seed)

    def anew(self, module: Module, original: Module, pass_: Pass) -> tuple[Trial, Results]:
        """Samples for what `module` reads after a pass that changed it, and what `original` gave for the same."""
        count = len(self.names) - (len(ADVERSARIAL) if ADVERSARIAL[0] in self.names else 0)
        trial = Trial.of(module, count, adversarial=ADVERSARIAL[0] in self.names, seed=self.seed)
        inputs = {name: pass_.inputs_before(array) for name, array in trial.inputs.items()}
        return trial, trial._replace(inputs=inputs).run(original)

    def run(self, module: Module, given: Mapping[str, Array] | None = None) -> Results:
        """Run `module` with the reference semantics; raises `CompileError` if it cannot be run.

        Where a named value is `given`, later ops read that one, so that each op is seen on its own.
        """
        values: dict[str, Array] = {}
        off_by: dict[str, tuple[int, ...]] = {}
        copies: dict[str, int] = {}
        units: dict[str, Array] = {}

        def observe(op: Op, array: Array) -> Array | None:
            if (name := op.results[0].name) is None:
                return None
            rate = rate_of(op)
            values[name] = array if rate is None or array.dtype.kind != "f" else array / rate
            if (distance := unit(op)) is not None:
                units[name] = distance
            if stated := statement(op):
                off_by[name] = stated
            copies[name] = copies_of(op)
            other = (given or {}).get(name)
            other = instead(None if other is None else in_copies(other, copies[name], array.size), array, distance)
            return other if other is None or rate is None or array.dtype.kind != "f" else other * rate

        memory = dict(self.memory)
        outputs = interpret(module, self.inputs, observe, memory)
        owners = [value.owner for value in module.outputs]
        told = tuple(map(unit, owners)), tuple(map(statement, owners))
        return Results(values, off_by, copies, outputs, memory, units, *told)

    def again(self, module: Module, before: Results, contract: Contract) -> Results:
        """The results after a pass; each op reads what it read before, if the contract is about ops."""
        return self.run(module, before.values if contract.by_op else None)

    def compare(self, before: Results, after: Results, contract: Contract, where: str) -> Iterator[Diagnostic]:
        """The values, then memory and outputs, that moved further than the contract allows; a diagnostic for each."""
        for name, array in after.values.items():
            old = before.values.get(name)
            distance = after.units.get(name)
            copies = after.copies[name]
            old = None if old is None else in_copies(old, copies, array.size)
            if old is not None and old.size == array.size and comparable(old, array, distance):
                stated = after.off_by.get(name, ())
                yield from self._differences(old, array, contract, f"%{name}", where, stated, distance)
            elif old is not None and copies > 1:
                found, allowed = (str(math.prod(a.shape[1:])) for a in (array, old))
                message = f"%{name} has not the {copies} copies that it says"
                yield Diagnostic("PASS-VALIDATE", message, where, found, allowed)
        if before.memory.keys() != after.memory.keys():
            names = [", ".join(sorted(r.memory)) or "nothing" for r in (after, before)]
            yield Diagnostic("PASS-VALIDATE", "the module remembers something else", where, names[0], names[1])
            return
        for name, array in after.memory.items():
            yield from self._differences(before.memory[name], array, contract, f"memory {name}", where)
        if [a.size for a in before.outputs] != [a.size for a in after.outputs]:
            shapes = [str([a.shape[1:] for a in r.outputs]) for r in (after, before)]
            yield Diagnostic("PASS-VALIDATE", "the outputs have other sizes", where, found=shapes[0], allowed=shapes[1])
            return
        outputs = zip(before.outputs, after.outputs, after.output_off_by, after.output_units, strict=True)
        for index, (old, array, stated, distance) in enumerate(outputs):
            yield from self._differences(old, array, contract, f"output {index}", where, stated, distance)

    def _differences(
        self,
        old: Array,
        new: Array,
        contract: Contract,
        what: str,
        where: str,
        stated: tuple[int, ...] = (),
        distance: Array | None = None,
    ) -> Iterator[Diagnostic]:
        """A diagnostic for the first element that moved too far, with how many others did."""
        old = old.reshape(new.shape)
        if old.dtype.kind == "f" and new.dtype.kind != "f" and distance is not None:
            new = new * distance
        far = too_far(old, new, contract, stated, distance)
        if not far.any() or (contract.ties and few(far, too_far(old, new, ONE_STEP, stated, distance))):
            return
        sample, *index = (int(i) for i in np.argwhere(far)[0])
        yield Diagnostic(
            "PASS-VALIDATE",
            f"{what} changes, and the pass promises {contract}",
            where,
            found=f"{new[sample, *index]} after, {old[sample, *index]} before, at {index} of input {sample} "
            f"({self.names[sample]}); {int(far.sum())} of {far.size} elements differ",
            allowed=str(contract),
        )


def instead(given: Array | None, array: Array, distance: Array | None) -> Array | None:
    """What to put in the place of a value: a given one of its size, as integers if it is of reals."""
    if given is None or given.size != array.size:
        return None
    if given.dtype.kind == "f" and array.dtype.kind != "f" and distance is not None:
        given = np.rint(given.reshape(array.shape) / distance).astype(array.dtype)
    return given.reshape(array.shape) if given.dtype == array.dtype else None


def few(far: npt.NDArray[np.bool_], farther: npt.NDArray[np.bool_]) -> bool:
    """True if what moved may have been ties: by one step, in few elements."""
    return not farther.any() and int(np.count_nonzero(far)) <= max(MOST_TIES, far.size * FEW)


def other_shapes(before: Results, after: Results, where: str) -> Iterator[Diagnostic]:
    """The outputs whose shape is another, dimensions of 1 aside in integers: the chip knows maps only."""
    for index, (old, new) in enumerate(zip(before.outputs, after.outputs, strict=False)):
        floats = new.dtype.kind == "f"
        if old.shape != new.shape if floats else squeezed(old) != squeezed(new):
            found, allowed = (str(list(a.shape[1:])) for a in (new, old))
            yield Diagnostic("PASS-VALIDATE", f"output {index} has another shape", where, found, allowed)


def squeezed(array: Array) -> list[int]:
    """The shape of a sample without its dimensions of 1."""
    return [d for d in array.shape[1:] if d != 1]


def statement(op: Op) -> tuple[int, ...]:
    """By how much an op says that it may be off, one number a channel; empty if it says nothing."""
    found = op.annotations.get(OFF_BY, ())
    return found if isinstance(found, tuple) else ()  # type: ignore[return-value]


def rate_of(op: Op) -> Array | None:
    """What an op says that its reals were multiplied by, if it says so."""
    rate = op.annotations.get(RATE)
    return rate.array if isinstance(rate, Tensor) else None


def unit(op: Op) -> Array | None:
    """The real distance of two neighbouring integers, of a result that is one or was just made of one; if known."""
    scale: AttrValue
    frac_bits: AttrValue
    if isinstance(op, qnn.Dequantize):
        scale, frac_bits = op.scale, op.frac_bits
    elif not op.results[0].type.element.is_float:
        scale, frac_bits = (op.annotations.get(key) for key in ("scale", "frac_bits"))
    else:
        return None
    if not isinstance(frac_bits, Tensor) or not isinstance(scale, Tensor | None):
        return None
    factor = 1.0 if scale is None else scale.array.astype(np.float64)
    rate = rate_of(op)
    found: Array = np.ldexp(factor, -frac_bits.int64.astype(np.int32)) / (1.0 if rate is None else rate)
    return found


def comparable(old: Array, new: Array, distance: Array | None) -> bool:
    """True for values of one kind, and for a real that became an integer with a known meaning."""
    return old.dtype.kind == new.dtype.kind or (old.dtype.kind == "f" and distance is not None)


def too_far(
    old: Array, new: Array, contract: Contract, stated: tuple[int, ...] = (), distance: Array | None = None
) -> npt.NDArray[np.bool_]:
    """Where elements moved further than the contract allows; one NaN is as good as another.

    `stated` is how far the op itself says that they may move, one number a channel, if that is the contract;
    `distance` the real size of a step.
    """
    if contract.lossy:
        return np.zeros(old.shape, bool)
    if old.dtype.kind != "f" and new.dtype.kind != "f":
        allowed = np.array(stated) if contract.stated and stated else contract.max_lsb
        moved: npt.NDArray[np.bool_] = np.abs(new - old) > allowed
        return moved
    if contract.max_lsb and distance is None:
        return np.zeros(old.shape, bool)
    if contract.stated and stated and distance is not None:
        reach: npt.NDArray[np.bool_] = np.abs(new - old) > np.array(stated) * distance + 1e-6 * np.abs(old)
        return reach
    same: npt.NDArray[np.bool_] = (old == new) | (np.isnan(old) & np.isnan(new))
    if contract.max_lsb or contract.relative:
        steps = 0.0 if distance is None else contract.max_lsb * distance
        same |= np.abs(new - old) <= steps + contract.relative * np.abs(old).max(initial=0.0)
    return ~same


class Draw:
    """Random numbers, the same ones for the same seed; NumPy's own generators take long to import."""

    def __init__(self, seed: int) -> None:
        self._source = random.Random(seed)

    def bits(self, size: int) -> npt.NDArray[np.uint64]:
        """64 random bits each."""
        return np.frombuffer(self._source.randbytes(8 * size), "<u8")

    def integers(self, element: ElementType, size: int) -> npt.NDArray[np.int64]:
        """Integers over the whole of a type, which has 2^bits of them."""
        return (self.bits(size) >> np.uint64(64 - element.bits)).astype(np.int64) + element.lo

    def reals(self, lo: Array, hi: Array) -> Array:
        """Float64 numbers between the bounds."""
        units = (self.bits(lo.size) >> np.uint64(11)) * 2.0**-53
        found: Array = lo + (hi - lo) * units.reshape(lo.shape)
        return found


# ---- inputs ----------------------------------------------------------------------------------------------------


def batch(op: Input, count: int, draw: Draw) -> Array:
    """The samples for one input."""
    samples = float_samples(op, count, draw) if op.element.is_float else integer_samples(op, count, draw)
    return np.stack(samples).reshape(-1, *op.shape)


def integer_samples(op: Input, count: int, draw: Draw) -> list[Array]:
    """Flat samples of an integer input, over its whole type."""
    size, lo, hi = math.prod(op.shape), op.element.lo, op.element.hi
    # Python's integers: the span of a 63-bit type does not fit int64
    ramp = np.array([lo + (hi - lo) * i // max(size - 1, 1) for i in range(size)])
    one_hot = np.zeros(size, np.int64)
    one_hot[size // 2] = hi
    samples = [np.full(size, lo), np.full(size, hi), np.zeros(size, np.int64), one_hot, ramp]
    return samples + [draw.integers(op.element, size) for _ in range(count)]


def float_samples(op: Input, count: int, draw: Draw) -> list[Array]:
    """Flat samples of a float input, over the range that its quantizers cover."""
    size = math.prod(op.shape)
    lo, hi = (np.broadcast_to(bound, op.shape).reshape(size) for bound in float_range(op))
    one_hot = np.where(np.arange(size) == size // 2, hi, 0.0)
    samples = [lo, hi, np.zeros(size), one_hot, lo + (hi - lo) * np.linspace(0.0, 1.0, size)]
    samples += [draw.reals(lo, hi) for _ in range(count)]
    return [sample.astype(np.float32) for sample in samples]


def float_range(op: Input) -> tuple[Array, Array]:
    """The smallest and the largest float worth trying, one for all channels or one for each."""
    quantizers = [user for user in op.result.users if isinstance(user, (*BY_PRODUCT, *BY_DIVISION))]
    if not quantizers:
        return np.asarray(FLOAT_RANGE[0]), np.asarray(FLOAT_RANGE[1])
    lows = [(user.to.lo - zero_of(user)) / steps_per_unit(user) for user in quantizers]
    highs = [(user.to.hi - zero_of(user)) / steps_per_unit(user) for user in quantizers]
    return functools.reduce(np.minimum, lows), functools.reduce(np.maximum, highs)


BY_PRODUCT = (qnn.Quantize, QuantizerLayer)
BY_DIVISION = (qnn.QuantizeLinear, LinearQuantizerLayer)
"""What makes integers of floats; the latter saturate behind the zero point, which so moves the range they cover."""


def zero_of(op: Op) -> Array:
    """How far a quantizer's range is moved."""
    if not isinstance(op, BY_DIVISION):
        return np.asarray(0)
    return values(op.zero_point if isinstance(op, qnn.QuantizeLinear) else op.zero_points)


def steps_per_unit(op: Op) -> Array:
    """How many integers a quantizer gives to a float range of 1."""
    if isinstance(op, BY_DIVISION):
        distance = op.scale if isinstance(op, qnn.QuantizeLinear) else op.scales
        return np.clip(1 / distance.array.astype(np.float64), *np.exp2(np.array(EXPONENTS, np.float64)))
    if isinstance(op, qnn.Quantize):
        steps: Array = np.exp2(np.clip(op.frac_bits.int64, *EXPONENTS).astype(np.float64))
        return steps
    assert isinstance(op, QuantizerLayer)
    return np.clip(op.scales.array.astype(np.float64), *np.exp2(np.array(EXPONENTS, np.float64)))

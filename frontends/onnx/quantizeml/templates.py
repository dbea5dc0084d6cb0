"""What the function of each operator must compute, built from its name; and the comparison with what it does.

An operator is trusted by its name only after its function was found to compute just this.  QuantizeML writes bodies
in float32; the integers they stand for are in `layers.py`.  Source: the functions of QuantizeML 1.2.5, restated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce

from cnn2snn_ir.diagnostics import CompileError, fail
from cnn2snn_ir.frontends.onnx.file import newest_opset
from cnn2snn_ir.frontends.onnx.graph import Function, Reference
from cnn2snn_ir.frontends.onnx.quantizeml.grammar import OpName
from cnn2snn_ir.frontends.onnx.quantizeml.terms import Term, call, constant, difference, given, terms_of

DOMAIN = "com.brainchip"
OLDEST_OPSET = 13
"""Sums take their axes as an input from here on, so that a body means the same under every later version."""

FLOAT32, INT8, INT32 = 1, 3, 6
"""Element types by their numbers in ONNX."""

LOWEST_INDEX, HIGHEST_INDEX = -1024, 1023
"""What the index of a table saturates to; a negative one counts from the end."""

Functions = Mapping[tuple[str, str], Function]


# ---- pieces -------------------------------------------------------------------------------------------------------


def as_float(name: str) -> Term:
    """An input as float32."""
    return call("Cast", given(name), to=FLOAT32)


def rescaled(x: Term, scale: str, shift: str, low: float, high: float) -> Term:
    """`clip(floor(x / shift · scale + 0.5), low, high)`; without a scale by the shift alone."""
    shifted = call("Div", x, as_float(shift))
    scaled = call("Mul", shifted, as_float(scale)) if scale else shifted
    rounded = call("Floor", call("Add", scaled, constant(0.5)))
    return call("Clip", rounded, constant(low), constant(high))


def output(x: Term, name: OpName, scale: str = "Scale") -> Term:
    """The result: rescaled to int8, or the accumulator."""
    if not name.scale:
        return call("Cast", x, to=INT32)
    return call("Cast", rescaled(x, scale, "Shift", -128.0, 127.0), to=INT8)


def padded(name: OpName) -> Term:
    """The input of a convolution with its border, of zeros or of a value for each channel."""
    x = as_float("X")
    if name.base != "QuantizedInputConv2D":
        return call("Pad", x, given("pads"))
    fill = call("Unsqueeze", as_float("x_pad_value"), constant([1, 2]))
    return call("Add", call("Pad", call("Sub", x, fill), given("pads")), fill)


def weighted(op: str, x: Term, name: OpName, *attributes: str, **fixed: int) -> Term:
    """A linear operator, with its bias; attributes are the function's own."""
    bias = [as_float("bias")] if name.bias else []
    own = {a.removesuffix("s") if a == "groups" else a: Reference(a) for a in attributes}
    return call(op, x, as_float("W"), *bias, **own, **fixed)


def processed(x: Term, name: OpName) -> Term:
    """What follows the accumulator: pooling, activation, global average, in this order."""
    if name.pool == "MaxPool":
        own = {"kernel_shape": "pool_size", "strides": "pool_strides", "pads": "pool_pads"}
        x = call("MaxPool", x, **{key: Reference(value) for key, value in own.items()})
    if name.activation == "LUT":
        index = rescaled(x, "ActScale", "ActShift", LOWEST_INDEX, HIGHEST_INDEX)
        x = call("Cast", call("Gather", given("LUT_values"), call("Cast", index, to=INT32)), to=FLOAT32)
    elif name.activation:
        x = call("Relu", x)
    if name.activation == "ReLUClipped":
        x = call("Min", x, as_float("max_value"))
    return call("ReduceSum", x, constant([-2, -1])) if name.pool == "GlobalAvgPool" else x


# ---- operators ----------------------------------------------------------------------------------------------------


def input_quantizer(name: OpName) -> list[Term]:
    moved = call("Transpose", as_float("X"), perm=Reference("perm"))
    return [call("QuantizeLinear", moved, given("scale"), given("zp"))]


def dequantizer(name: OpName) -> list[Term]:
    pairs = [(f"X{i}", f"scale_{i}") for i in range(1, name.tensors + 1)] if name.tensors > 1 else [("X", "scale")]
    return [call("DequantizeLinear", given(x), given(scale)) for x, scale in pairs]


def convolution(name: OpName) -> list[Term]:
    attributes = ("strides", "groups") if name.depthwise else ("strides",)
    return [output(processed(weighted("Conv", padded(name), name, *attributes), name), name)]


def transposed(name: OpName) -> list[Term]:
    attributes = ("strides", "pads", "groups") if name.depthwise else ("strides", "pads")
    return [output(processed(weighted("ConvTranspose", as_float("X"), name, *attributes), name), name)]


def dense(name: OpName) -> list[Term]:
    x = call("Flatten", as_float("X")) if name.flatten else as_float("X")
    return [output(processed(weighted("Gemm", x, name, transB=1), name), name)]


def add(name: OpName) -> list[Term]:
    aligned = [call("Mul", as_float(x), as_float(shift)) for x, shift in (("X", "Xs"), ("Y", "Ys"))]
    return [output(call("Add", *aligned), name, scale="")]


def concat(name: OpName) -> list[Term]:
    return [call("Concat", given("X"), given("Y"), axis=1)]


def over_time(name: OpName) -> list[Term]:
    inner = f"{DOMAIN}:{name.base.removeprefix('Quantized')}"
    return [output(processed(weighted(inner, as_float("X"), name, "fifo_name", "fifo_size", "model_id"), name), name)]


TEMPLATES: dict[str, Callable[[OpName], list[Term]]] = {
    "InputQuantizer": input_quantizer,
    "Dequantizer": dequantizer,
    "QuantizedInputConv2D": convolution,
    "QuantizedConv2D": convolution,
    "QuantizedDepthwise2D": convolution,
    "QuantizedConv2DTranspose": transposed,
    "QuantizedDepthwise2DTranspose": transposed,
    "QuantizedDense1D": dense,
    "QuantizedAdd": add,
    "QuantizedConcat": concat,
    "QuantizedBufferTempConv": over_time,
    "QuantizedDepthwiseBufferTempConv": over_time,
}
"""The results of every operator, by its base."""


def frames() -> Term:
    """The frames that a FIFO holds after the newest went in, as float32 [batch, channels, time, height, width]."""
    names = {"model_id": "model_id", "variable_id": "fifo_name", "fifo_size": "fifo_size"}
    fifo = Term(f"{DOMAIN}:FifoOp", (given("X"),), {key: Reference(value) for key, value in names.items()})
    return call("Cast", fifo, to=FLOAT32)


def buffer_temp_conv() -> Term:
    """All frames of a position as channels, time fastest, through a 1x1 convolution."""
    last = call("Transpose", frames(), perm=(0, 3, 4, 1, 2))
    flat = call("Reshape", last, constant([0, 0, 0, -1]))
    return call("Conv", call("Transpose", flat, perm=(0, 3, 1, 2)), given("W"), given("B"))


def depthwise_buffer_temp_conv() -> Term:
    """Each channel's frames times their weights, summed over time."""
    total = call("ReduceSum", call("Mul", frames(), given("W")), constant([2]), keepdims=0)
    return call("Add", total, given("B"))


HELPERS = {
    "BufferTempConv": buffer_temp_conv,
    "DepthwiseBufferTempConv": depthwise_buffer_temp_conv,
}
"""Functions that those of operators call; their inputs are X, W and B."""


# ---- comparison ---------------------------------------------------------------------------------------------------


def verified(op: str, name: OpName, functions: Functions, where: str) -> Function:
    """The function of an operator, found to compute what its name says; raises `CompileError` if it does not."""
    function = functions.get((DOMAIN, op))
    if function is None:
        raise fail(
            "QML-FUNCTION",
            "the file does not define the function of this operator",
            where=where,
            found=f"{len(functions)} other functions",
            help="save the model with its functions, as QuantizeML does",
        )
    wanted = TEMPLATES[name.base](name)
    inputs = inputs_of(wanted)
    compare(function, wanted, set(inputs), name.attributes, where)
    if name.base.removeprefix("Quantized") in HELPERS:
        verify_helper(name.base.removeprefix("Quantized"), functions, where)
    return function


def verify_helper(op: str, functions: Functions, where: str) -> None:
    """The function that a function calls computes what it must."""
    helper = functions.get((DOMAIN, op))
    if helper is None:
        raise fail("QML-FUNCTION", f"the file does not define {op}, which this operator calls", where=where)
    if helper.inputs != ("X", "W", "B"):
        raise unlike(where, op, "its inputs", ", ".join(helper.inputs), "X, W, B")
    compare(helper, [HELPERS[op]()], set(helper.inputs), {"fifo_name", "fifo_size", "model_id"}, where)


def inputs_of(terms: list[Term]) -> dict[str, None]:
    """The names of the function's inputs in terms, in the order of their first use."""

    def names(term: Term) -> list[str]:
        own = [str(term.attributes["name"])] if term.op == "input" else []
        return reduce(lambda found, arg: found + names(arg), term.args, own)

    return dict.fromkeys(name for term in terms for name in names(term))


def compare(function: Function, wanted: list[Term], inputs: set[str], attributes: set[str], where: str) -> None:
    """Raise `CompileError` with the first thing in which a function is not what it must be."""
    opset, newest = function.opsets.get("", 0), newest_opset()
    if not OLDEST_OPSET <= opset <= newest:
        found = f"version {opset}" if opset else "none"
        raise unlike(
            where, function.name, "its version of the standard operators", found, f"{OLDEST_OPSET} to {newest}"
        )
    for what, mine, theirs in (("inputs", inputs, function.inputs), ("attributes", attributes, function.attributes)):
        if sorted(mine) != sorted(theirs):
            found, allowed = (", ".join(sorted(n)) or "none" for n in (theirs, mine))
            raise unlike(where, function.name, f"its {what}", found, allowed)
    terms = terms_of(function)
    if len(terms) != len(wanted):
        raise unlike(where, function.name, "its outputs", str(len(terms)), str(len(wanted)))
    for one, other in zip(wanted, terms, strict=True):
        if different := difference(one, other):
            place, expected, found = different
            raise unlike(where, function.name, place, found, expected)


def unlike(where: str, function: str, place: str, found: str, allowed: str) -> CompileError:
    """The error for a function that computes something else than its name says."""
    return fail(
        "QML-BODY",
        f"the function {function} does not compute what QuantizeML's does; it differs at {place}",
        where=where,
        found=found,
        allowed=allowed,
        help="quantize the float model again; edited functions are not run",
    )

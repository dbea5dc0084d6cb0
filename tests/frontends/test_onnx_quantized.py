"""Models that onnxruntime quantized, against what it computes with them (`tests/oracle/make_onnx_standard.py`).

Both round the same reals, summed up in another order and precision: a value next to a tie may be one level off.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from generators.onnx_cases import Array, imported

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.dialects import nn
from cnn2snn_ir.frontends.onnx.standard.importer import Imported
from cnn2snn_ir.ir import Op, Value
from cnn2snn_ir.reference import run

FIXTURES = Path(__file__).parent.parent / "fixtures" / "onnx_standard"
VARIANTS = sorted(p.stem for p in FIXTURES.glob("q*.onnx"))
CLOSE = 1e-6
"""Float32 sums are off by this part of the largest of their addends; so much may a level be away from a tie."""


@pytest.mark.parametrize("name", VARIANTS)
def test_levels_equal_those_of_onnxruntime(name: str, tmp_path: Path) -> None:
    model = onnx.load(FIXTURES / f"{name}.onnx")
    with np.load(FIXTURES / f"{name}.npz") as recorded, np.load(FIXTURES / "samples.npz") as samples:
        wanted, x = dict(recorded), samples["x"]
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(value) for value in wanted)
    found = imported(model, tmp_path)
    comparison = Comparison(found, wanted)
    results = run(found.module, x.transpose(found.inputs["x"]), comparison.observe)
    assert comparison.compared >= 4 * 1000
    assert comparison.off <= 0.01 * comparison.compared
    for value, result, (key, axes) in zip(found.module.outputs, results, found.outputs.items(), strict=True):
        distance = level_distance(value, result.transpose(np.argsort(axes)), wanted[key])
        assert distance.max() <= 1, key


class Comparison:
    """Compares every rounding with the recorded one, and goes on with the recorded: so no difference adds to others."""

    def __init__(self, found: Imported, wanted: dict[str, Array]) -> None:
        pairs = zip(found.module.outputs, found.outputs.items(), strict=True)
        self.recorded = {value.owner: wanted[key].transpose(axes) for value, (key, axes) in pairs}
        self.arrays: dict[Value, Array] = {}
        self.compared = self.off = 0

    def observe(self, op: Op, array: Array) -> Array | None:
        self.arrays[op.results[0]] = array
        if not isinstance(op, nn.FakeQuantize) or op not in self.recorded:
            return None
        levels, wanted = (levels_of(op, a) for a in (array, self.recorded[op]))
        off = levels != wanted
        quotients = self.arrays[op.x] / op.scale.array
        tie = np.abs(quotients - np.floor(quotients) - 0.5)
        assert (tie[off] <= CLOSE * max(16.0, np.abs(quotients).max())).all(), op.loc
        self.compared, self.off = self.compared + off.size, self.off + int(off.sum())
        self.arrays[op.result] = wanted * op.scale.array.astype(np.float64)
        return self.arrays[op.result]


def levels_of(op: nn.FakeQuantize, values: Array) -> Any:
    """Integers, without the zero point, of reals on a grid or of ONNX's integers."""
    zero = 0 if op.zero_point is None else op.zero_point.array.astype(np.int64)
    return values.astype(np.int64) - zero if values.dtype.kind in "iu" else np.rint(values / op.scale.array)


def level_distance(value: Value, result: Array, wanted: Array) -> Any:
    """How many levels each element is off."""
    grid = grid_of(value)
    return np.abs(levels_of(grid, result) - levels_of(grid, wanted))


def grid_of(value: Value) -> nn.FakeQuantize:
    """The rounding that a value comes from, by way of ops that keep levels."""
    op = value.owner
    while not isinstance(op, nn.FakeQuantize):
        assert isinstance(op, nn.Transpose | nn.Reshape | nn.MaxPool), op
        op = op.x.owner
    return op


@pytest.mark.parametrize(("alpha", "biased", "taken"), [(0.5, True, False), (0.5, False, True), (1.0, True, True)])
def test_a_factor_in_front_of_a_product_goes_into_its_weights(
    alpha: float, biased: bool, taken: bool, tmp_path: Path
) -> None:
    name = next(n for n in VARIANTS if b"QGemm" in (FIXTURES / f"{n}.onnx").read_bytes())
    model = onnx.load(FIXTURES / f"{name}.onnx")
    (node, *_) = [n for n in model.graph.node if n.op_type == "QGemm"]
    kept = [a for a in node.attribute if a.name != "alpha"]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute("alpha", alpha)])
    if not biased:
        node.input[6] = ""
    if taken:
        imported(model, tmp_path)
        return
    with pytest.raises(CompileError) as caught:
        imported(model, tmp_path)
    assert [d.found for d in caught.value.diagnostics] == ["0.5"]

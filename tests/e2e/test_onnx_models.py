"""QuantizeML's ONNX models: every intermediate integer is what int64 arithmetic of their operators gives."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from generators.recorded import recorded_onnx

from cnn2snn_ir.api import compile_model
from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.frontends import load_model
from cnn2snn_ir.frontends.onnx.quantizeml.grammar import BASES, parse_name
from cnn2snn_ir.ir.verify import verify
from cnn2snn_ir.passes.default_pipelines import akida2_default
from cnn2snn_ir.passes.instruments import ValidateEach, VerifyEach, VerifyRoundTrip
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.reference import run_all
from cnn2snn_ir.runtime.model import Model

sys.path.insert(0, str(Path(__file__).parent.parent / "oracle"))

from onnx_reference import Reference

MODELS = {r.model.stem: r for r in recorded_onnx()}
REFUSED = {"two_outputs_zp": {"QML-ENDS"}}
"""Models that QuantizeML writes and that are no program."""

CONVERTED = sorted(set(MODELS) - set(REFUSED))


@pytest.fixture(params=CONVERTED)
def recorded(request):
    return MODELS[request.param]


def test_qnn(recorded):
    module, memory = load_model(recorded.model), {}
    assert not list(verify(module))
    values = recorded.calls(lambda x: run_all(module, x, memory))
    assert [name for name in recorded.layers if name not in values] == []
    assert recorded.differing(values) == []
    assert_answers(values[module.outputs[0].name], recorded, module)


def assert_answers(found, recorded, module):
    """Dequantized integers to the last bit, a softmax behind them to float32's precision."""
    expected = recorded.data["__output__"]
    tail = any(op.op_name == "nn.softmax" for op in module.body)
    close = np.allclose(found, expected, rtol=1e-6, atol=1e-7)
    assert close if tail else np.array_equal(found.reshape(-1), expected.reshape(-1))


def test_program(recorded):
    module, _ = compile_model(recorded.model)
    assert not [op for op in module.body if op.op_name.startswith("qnn.")]
    program, memory = Model(module), {}
    values = recorded.calls(lambda x: program.intermediates(x, memory=memory))
    compared = [name for name in recorded.layers if name in values]
    assert len(compared) >= 2
    assert recorded.differing(values) == []
    assert_answers(recorded.calls(lambda x: {"y": program.predict(x)})["y"], recorded, module)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused(name):
    with pytest.raises(CompileError) as caught:
        compile_model(MODELS[name].model)
    assert {d.code for d in caught.value.diagnostics} == REFUSED[name]


def test_the_recorded_integers_are_those_of_the_reference(recorded):
    reference = Reference(onnx.load(recorded.model))
    steps = recorded.calls(lambda x: {n: nhwc(v) for n, v in reference.run(file_order(x, recorded)).items()})
    assert recorded.differing(steps) == []


def nhwc(array):
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array


def file_order(x, recorded):
    """Samples as the file takes them."""
    return x if x.ndim != 4 or recorded.model.stem.startswith("channels_last") else x.transpose(0, 3, 1, 2)


def test_streams_remember_at_every_step():
    recorded = MODELS["stream_s8"]
    model, memory = Model(compile_model(recorded.model)[0]), {}
    stream = recorded.calls(lambda x: model.intermediates(x, memory=memory))
    alone = recorded.calls(lambda x: model.intermediates(x, memory={}))
    for name in recorded.layers[1:]:
        same = [np.array_equal(a, b) for a, b in zip(stream[name], alone[name], strict=True)]
        assert same == [True] + 5 * [False], name


@pytest.mark.slow
def test_rewrites_change_no_integer():
    for name in ("pools_u8", "strided_zp", "floored_u8", "stream_s8", "unet_u8"):
        checks = [ValidateEach(2), VerifyEach(), VerifyRoundTrip()]
        PassManager(akida2_default(), checks).run(load_model(MODELS[name].model))


def test_every_operator_and_every_suffix_is_seen():
    names = [parse_name(n.op_type, "") for r in MODELS.values() for n in onnx.load(r.model).graph.node if n.domain]
    assert {n.base for n in names} == set(BASES)
    for place in ("flatten", "bias", "pool", "activation", "scale"):
        legal = {choice for base in BASES.values() for choice in getattr(base, place)}
        assert {getattr(n, place) for n in names} == legal

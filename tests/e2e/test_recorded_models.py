"""Models of many architectures: every intermediate integer is what Keras computed with QuantizeML."""

import numpy as np
import pytest
from generators.recorded import CARRIER_LIMIT, recorded_models

from cnn2snn_ir.api import compile_model
from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.dialects import qnn
from cnn2snn_ir.frontends import load_model
from cnn2snn_ir.frontends.keras_h5.archive import read_archive
from cnn2snn_ir.ir.verify import verify
from cnn2snn_ir.passes.base import PassContext
from cnn2snn_ir.reference import run_all
from cnn2snn_ir.runtime.model import Model

MODELS = {r.model.stem: r for r in recorded_models()}

REFUSED = {
    "reshapes_fs_w8_a8_pt": {"AK2-RESHAPE-01"},
    "unbounded_fu_w8_a8": {"AK2-PAD-01"},
    "table_mlp_fs_w4_a6_o10": {"AK2-LEFT-01"},
}
"""Models that QuantizeML quantizes and that Akida 2 has no layers for."""

BEYOND_FLOAT32 = {"ties_fs_w8_a8"}
"""A model made so that QuantizeML's float32 carriers round: exact integers must differ from it."""

EXACT = [name for name in MODELS if name not in BEYOND_FLOAT32]


@pytest.fixture(params=EXACT)
def recorded(request):
    return MODELS[request.param]


def test_qnn(recorded):
    module = load_model(recorded.model)
    assert not list(verify(module))
    memory = {}
    values = recorded.calls(lambda x: run_all(module, x, memory))
    assert [n for n in recorded.layers if n not in values] == []
    assert recorded.differing(values) == []
    assert matches_output(values, module, recorded)


def matches_output(values, module, recorded):
    """The model's answers: integers and dequantized logits to the last bit, a float tail to float32's precision."""
    name = module.outputs[0].name
    last, expected = values[name].reshape(-1), recorded.data["__output__"].reshape(-1)
    tail = any(op.op_name.startswith("nn.") for op in module.body)
    return np.allclose(last, expected, rtol=1e-5, atol=1e-6) if tail else np.array_equal(last, expected)


def test_exponents_and_scales(recorded):
    module = load_model(recorded.model)
    for op in module.body:
        name = op.results[0].name if op.results else None
        if f"{name}|fb" not in recorded.data:
            continue
        frac_bits = op.annotations["frac_bits"].array
        assert np.array_equal(*np.broadcast_arrays(frac_bits, recorded.data[f"{name}|fb"].squeeze()))
        if f"{name}|scale" in recorded.data:
            scale = op.annotations["scale"].array
            # the scale of a table is a value of swish or gelu, whose last bit is up to the library
            last_bit = np.finfo(np.float32).eps if isinstance(op, qnn.Lookup) else 0
            assert np.allclose(scale, recorded.data[f"{name}|scale"].squeeze(), rtol=last_bit, atol=0)


def test_program(recorded):
    if recorded.model.stem in REFUSED:
        with pytest.raises(CompileError) as caught:
            compile_model(recorded.model, allow_float_tail=True)
        assert {d.code for d in caught.value.diagnostics if d.severity == "error"} == REFUSED[recorded.model.stem]
        return
    module, _ = compile_model(recorded.model, allow_float_tail=True)
    assert [op.op_name for op in module.body if isinstance(op, qnn.Op) and op.op_name.startswith("qnn.")] == []
    model, memory = Model(module), {}
    values = recorded.calls(lambda x: model.intermediates(x, memory=memory))
    compared = [n for n in recorded.layers if n in values]
    assert len(compared) >= 2
    assert recorded.differing(values) == []
    answers = recorded.calls(lambda x: {"__output__": model.predict(x)})["__output__"]
    assert np.allclose(answers, recorded.data["__output__"], rtol=1e-5, atol=1e-6)


def test_streams_remember_at_every_step():
    """Without what came before, only the first step of a recorded stream is right: the comparison is one of streams."""
    recorded = MODELS["spatiotemporal_i8_w8_a8"]
    model, memory = Model(compile_model(recorded.model)[0]), {}
    stream = recorded.calls(lambda x: model.intermediates(x, memory=memory))
    alone = recorded.calls(lambda x: model.intermediates(x, memory={}))
    for name in ("time0_relu", "time1_dw", "gestures"):
        same = [np.array_equal(a, b) for a, b in zip(stream[name], alone[name], strict=True)]
        assert same == [True] + 11 * [False], name


@pytest.mark.parametrize("name", sorted(BEYOND_FLOAT32))
def test_exact_integers_differ_where_float32_rounds(name):
    """The differences are single steps of requantized values whose float32 product has no room for all its bits."""
    recorded = MODELS[name]
    module = load_model(recorded.model)
    values = run_all(module, recorded.data["x"])
    first = recorded.differing(values)[0]
    producer = next(op for op in module.body if op.results and op.results[0].name == first)
    assert isinstance(producer, qnn.Shift)
    product = abs(producer.x.owner.mantissa.int64 * np.abs(values_before(module, recorded, producer))).max()
    assert product > CARRIER_LIMIT
    difference = np.abs(values[first].reshape(-1) - recorded.data[f"{first}|v"].reshape(-1).astype(np.int64))
    assert difference.max() == 1
    assert recorded.differing(run_all(module, recorded.data["x"], float32_carriers=True)) == []


def values_before(module, recorded, shift):
    """The accumulator that a scaled product comes from."""
    from cnn2snn_ir.reference import run

    seen = {}
    run(module, recorded.data["x"], lambda op, array: seen.setdefault(op, array))
    return seen[shift.x.owner.x.owner]


def test_enough_architectures_and_schemes():
    names = {r.model.stem.partition("_i8")[0].partition("_f")[0].partition("_i4")[0] for r in MODELS.values()}
    assert len(names) >= 12
    classes = {r.class_name for m in MODELS.values() for r in read_archive(m.model).layers}
    assert {"QuantizedConv2D", "QuantizedDepthwiseConv2D", "QuantizedDense", "QuantizedAdd"} <= classes
    assert {"QuantizedConcatenate", "QuantizedFlatten", "QuantizedReshape", "QuantizedDropout"} <= classes
    assert {"QuantizedConv2DTranspose", "QuantizedDepthwiseConv2DTranspose", "QuantizedActivation"} <= classes
    assert {"QuantizedBufferTempConv", "QuantizedDepthwiseBufferTempConv", "QuantizedStatefulRecurrent"} <= classes


def test_context_is_quiet_for_a_clean_model():
    _, context = compile_model(MODELS["kws_i8_w8_a8"].model)
    assert isinstance(context, PassContext)
    assert [d.code for d in context.diagnostics] == ["TAIL-HOST"]

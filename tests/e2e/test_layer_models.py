"""Models for the coverage of layers: every intermediate integer is what Keras computed, streams step by step."""

import numpy as np
import pytest
from generators.recorded import FIXTURES, Recorded
from generators.streams import FRAMES, signed_stream, streaming_program

from cnn2snn_ir.api import compile_model
from cnn2snn_ir.backends.program import dumps, loads
from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.frontends import load_model
from cnn2snn_ir.ir.verify import verify
from cnn2snn_ir.reference import run_all
from cnn2snn_ir.runtime.model import Model
from cnn2snn_ir.runtime.step import ReferenceStep
from cnn2snn_ir.text import parse_module, print_module

FOLDER = FIXTURES / "layers"
MODELS = sorted(p.stem for p in FOLDER.glob("*.h5"))
STREAMS = ("btc_888", "rec")

ROUNDED_BY_KERAS = {"convnet_f_i8": {"sep1"}, "rec": {"s0", "e0", "p1"}}
"""Layers whose integers pass 2^24, where QuantizeML's float32 carriers round and exact integers do not."""

SUMMED_BY_KERAS = {"convnet_f_i8": {"sep1"}}
"""Those whose sums round before they are complete, in an order that TensorFlow chooses."""

REFUSED = {
    "btc_888": {"AK2-INPUT-03"},
    "rec": {"AK2-STATE-02"},
    "convnet_f_i8": {"AK2-CONV-05"},
    "convnet_888_pt": {"AK2-CONV-05"},
    "convnet_w2a2": {"AK2-CONV-04", "AK2-CONV-05"},
    "extra_888": {"AK2-CONV-02", "AK2-TCONV-01"},
}
"""What Akida 2 has no layers for, whatever else is said."""


def recorded(name):
    return Recorded(FOLDER / f"{name}.h5", FOLDER / f"{name}.expect.npz")


def samples(name):
    with np.load(FOLDER / f"{name}.input.npz") as archive:
        return archive["x"]


def interpret(module, name, **carriers):
    """Every value, of all steps where the model is a stream."""
    if name not in STREAMS:
        return run_all(module, samples(name), **carriers)
    memory = {}
    steps = [run_all(module, step, memory, **carriers) for step in samples(name)]
    return {key: np.stack([s[key] for s in steps]) for key in steps[0]}


@pytest.mark.parametrize("name", MODELS)
def test_qnn(name):
    expected, module = recorded(name), load_model(FOLDER / f"{name}.h5")
    assert not list(verify(module))
    values = interpret(module, name)
    assert [n for n in expected.layers if n not in values] == []
    assert set(expected.differing(values)) == ROUNDED_BY_KERAS.get(name, set())


@pytest.mark.parametrize("name", MODELS)
def test_float32_carriers_explain_every_difference(name):
    expected, module = recorded(name), load_model(FOLDER / f"{name}.h5")
    assert set(expected.differing(interpret(module, name, float32_carriers=True))) == SUMMED_BY_KERAS.get(name, set())


@pytest.mark.parametrize("name", MODELS)
def test_text(name):
    text = print_module(load_model(FOLDER / f"{name}.h5"), weights="inline")
    assert print_module(parse_module(text), weights="inline") == text


@pytest.mark.parametrize("name", [n for n in MODELS if n not in REFUSED])
def test_program(name):
    expected = recorded(name)
    model = Model(compile_model(FOLDER / f"{name}.h5")[0])
    values = model.intermediates(samples(name))
    assert len([n for n in expected.layers if n in values]) >= 3
    assert expected.differing(values) == []
    assert np.array_equal(model.predict(samples(name)), expected.data["__output__"])


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    with pytest.raises(CompileError) as caught:
        compile_model(FOLDER / f"{name}.h5")
    found = {d.code for d in caught.value.diagnostics if d.severity == "error"}
    assert found >= REFUSED[name]


def test_streams_at_the_hardware_level():
    """Convolutions over time with their FIFOs; the model with a signed input, which Akida 2 has layers for."""
    imported, program = signed_stream(), loads(dumps(streaming_program()))
    model, ours, theirs, compared = Model(program), {}, {}, 0
    for frame in FRAMES:
        expected, found = run_all(imported, frame, theirs), run_all(program, frame, ours)
        assert np.array_equal(model.predict(frame).reshape(-1), found["dequantizer_7"].reshape(-1))
        for name in found.keys() & expected.keys():
            assert np.array_equal(found[name].reshape(-1), expected[name].reshape(-1)), name
            compared += 1
    assert compared == 70
    assert {key: a.tolist() for key, a in ours.items()} == {key: a.tolist() for key, a in theirs.items()}


def test_a_fifo_and_the_layer_that_reads_it_have_different_names():
    names = [layer.name for layer in Model(streaming_program()).layers]
    assert [name for name in names if name.endswith("/fifo")] == ["btc/fifo", "dbtc/fifo"]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_streams_are_independent_saved_and_reset(backend, tmp_path):
    model, frames = Model(streaming_program(), backend=backend), FRAMES
    slow = [step.op.op_name for step in model.engine.steps if isinstance(step, ReferenceStep)]
    assert slow == []
    together = [model.forward(frame) for frame in frames]
    memories = [{} for _ in frames[0]]
    for step, frame in enumerate(frames):  # each stream alone, in turns
        for index, memory in enumerate(memories):
            assert np.array_equal(model.forward(frame[index : index + 1], memory=memory)[0], together[step][index])
    model.reset()
    assert np.array_equal(model.forward(frames[0]), together[0])
    memory = {}
    for frame in frames[:4]:
        model.forward(frame, memory=memory)
    np.savez(tmp_path / "memory.npz", **memory)
    with np.load(tmp_path / "memory.npz") as restored:
        assert np.array_equal(model.forward(frames[4], memory=dict(restored)), together[4])
    with pytest.raises(CompileError, match="RUN-STREAMS"):
        model.forward(frames[0][:1])


def test_a_stream_remembers():
    """Other frames before it change a step; the same frames give the same step."""
    module, frames = load_model(FOLDER / "btc_888.h5"), samples("btc_888")
    name = module.outputs[0].name
    alone = run_all(module, frames[5])[name]
    memory = {}
    for frame in frames[:5]:
        run_all(module, frame, memory)
    assert set(memory) == {"btc/fifo", "dbtc/fifo"}
    saved = {key: array.copy() for key, array in memory.items()}
    going_on = run_all(module, frames[5], memory)[name]
    assert not np.array_equal(alone, going_on)
    assert np.array_equal(run_all(module, frames[5], saved)[name], going_on)


def test_streams_of_another_batch_are_refused():
    module, frames = load_model(FOLDER / "btc_888.h5"), samples("btc_888")
    memory = {}
    run_all(module, frames[0], memory)
    with pytest.raises(CompileError, match="RUN-STREAMS"):
        run_all(module, frames[1][:1], memory)

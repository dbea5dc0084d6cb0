"""What a model is given: the right result or a diagnostic, never another result."""

from functools import cache

import numpy as np
import pytest
from generators.recorded import EXAMPLES, FIXTURES

from cnn2snn_ir import CompileError, convert
from cnn2snn_ir.reference import interpreter
from cnn2snn_ir.tools.cnn2snn import main

PATHS = {
    "integers": FIXTURES / "quantizeml" / "kws_i8_w8_a8.h5",
    "reals": EXAMPLES / "mnist_v2_i8_w8_a8.h5",
    "akida1": EXAMPLES / "mnist_v1_i8_w4_a4_ptq.h5",
}
LEGACY = EXAMPLES / "mnist_legacy_iq8_wq2_aq2.h5"


@cache
def opened(name):
    """A model, five samples, and what it makes of them."""
    model = convert(PATHS[name], target="v1" if name == "akida1" else "v2")
    element = model.module.inputs[0].element
    samples = np.random.default_rng(0).integers(0, 100, (5, *model.input_shape)).astype(element.dtype)
    return model, samples, model.predict(samples)


@pytest.fixture(params=PATHS)
def case(request):
    return opened(request.param)


def damaged(samples, value, dtype):
    other = samples.astype(dtype)
    other.flat[3] = value
    return other


SAME = {
    "Fortran order": np.asfortranarray,
    "strides": lambda x: np.repeat(x, 2, 0)[::2],
    "backwards": lambda x: x[::-1].copy()[::-1],
    "other bytes": lambda x: x.astype(x.dtype.newbyteorder()),
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "list": lambda x: x.tolist() if x.dtype.kind in "iu" else x.astype(int).tolist(),
    "memory": memoryview,
    "masked nowhere": np.ma.masked_array,
    "int64": lambda x: x.astype(np.int64),
    "uint64": lambda x: x.astype(np.uint64),
    "big int32": lambda x: x.astype(">i4"),
}
REFUSED = {
    "objects": lambda x: x.astype(object),
    "masked": lambda x: np.ma.masked_array(x, x > 50),
    "complex": lambda x: x.astype(complex),
    "text": lambda x: x.astype(str),
    "bytes": lambda x: x.astype("S"),
    "dates": lambda x: x.astype("i8").astype("M8[s]"),
    "durations": lambda x: x.astype("i8").astype("m8[s]"),
    "records": lambda x: np.zeros(x.shape, [("a", "i4")]),
    "NaN": lambda x: damaged(x, np.nan, np.float64),
    "one sample": lambda x: x[0],
    "a dimension more": lambda x: x[None],
    "a number": lambda x: 3,
    "nothing": lambda x: None,
    "ragged": lambda x: [[1], [1, 2]],
    "an empty list": lambda x: [],
}


@pytest.mark.parametrize("change", SAME)
def test_the_same_numbers_in_other_memory(case, change):
    model, samples, expected = case
    given = SAME[change](samples)
    assert np.array_equal(model.predict(given), expected)
    assert np.array_equal(interpreter.run(model.module, given)[0], expected)


def test_samples_that_may_not_be_written(case):
    model, samples, expected = case
    given = samples.copy()
    given.flags.writeable = False
    assert np.array_equal(model.predict(given), expected)
    assert np.array_equal(given, samples)


@pytest.mark.parametrize("change", REFUSED)
def test_what_is_refused(case, change):
    model, samples, _ = case
    for run in (model.predict, model.forward, lambda x: interpreter.run(model.module, x)):
        with pytest.raises(CompileError, match="RUN-INPUT-"):
            run(REFUSED[change](samples))


@pytest.mark.parametrize("value", [256, -1, 300, -300, 2**40, -(2**63)])
def test_integers_out_of_range(value):
    model, samples, _ = opened("integers")
    with pytest.raises(CompileError, match="RUN-INPUT-TYPE"):
        model.predict(damaged(samples, value, np.int64))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, bool])
def test_reals_where_integers_are_read(dtype):
    model, samples, _ = opened("integers")
    with pytest.raises(CompileError, match="RUN-INPUT-TYPE"):
        model.predict(samples.astype(dtype))


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.longdouble, np.uint8])
def test_other_reals(dtype):
    model, samples, expected = opened("reals")
    assert np.array_equal(model.predict(samples.astype(dtype)), expected)


def test_what_is_too_large_saturates():
    model, samples, _ = opened("reals")
    expected = model.predict(damaged(samples, 3e38, np.float32))
    for large in (np.inf, 1e300):
        assert np.array_equal(model.predict(damaged(samples, large, np.float64)), expected)


# ---- no samples at all ----------------------------------------------------------------------------------------------


def test_a_batch_of_none(case):
    model, samples, expected = case
    none = samples[:0]
    for found, like in ((model.predict(none), expected), (model.forward(none), model.forward(samples))):
        assert (found.shape, found.dtype) == ((0, *like.shape[1:]), like.dtype)
    assert interpreter.run(model.module, none)[0].shape == (0, *expected.shape[1:])
    assert model.engine.run(none)[0].shape == (0, *expected.shape[1:])
    assert all(values.shape[0] == 0 for values in model.intermediates(none).values())
    assert model.evaluate(none, []) == 0.0


def test_nothing_to_count():
    model = convert(PATHS["reals"])
    none = np.zeros((0, 28, 28, 1), np.uint8)
    model.map("Akida2FPGA")
    model.predict(none)
    for ask in (lambda: model.statistics, lambda: model.simulate(none)):
        with pytest.raises(CompileError, match="RUN-NO-SAMPLES"):
            ask()


@pytest.mark.parametrize("size", [0, -1, 2.5, "7", [3]])
def test_numbers_of_samples_that_are_none(size):
    model, samples, _ = opened("reals")
    with pytest.raises(CompileError, match="RUN-BATCH"):
        model.predict(samples, batch_size=size)
    with pytest.raises(CompileError, match="RUN-BATCH"):
        model.simulate(samples, batch=size)


@pytest.mark.parametrize("labels", [["a"] * 5, [0.5] * 5, [1] * 4, np.eye(5), [None] * 5, [np.nan] * 5])
def test_labels_that_are_none(labels):
    model, samples, _ = opened("reals")
    with pytest.raises(CompileError, match="RUN-LABELS"):
        model.evaluate(samples, labels)


@pytest.mark.parametrize("version", ["v1", "legacy"])
def test_no_samples_to_choose_by(version):
    with pytest.raises(CompileError, match="SAMPLES-EMPTY"):
        convert(LEGACY if version == "legacy" else PATHS["akida1"], target="v1", samples=np.zeros((0, 28, 28, 1)))


def test_commands_without_samples(tmp_path, capsys):
    program, empty = str(tmp_path / "x.fbz"), str(tmp_path / "x.npy")
    np.save(empty, np.zeros((0, 28, 28, 1), np.uint8))
    np.savez(tmp_path / "xy.npz", x=np.zeros((0, 28, 28, 1), np.uint8), y=np.zeros(0, int))
    assert main(["convert", "-m", str(PATHS["reals"]), "-o", program]) == 0
    assert main(["run", program, "-i", empty, "-o", str(tmp_path / "y.npy")]) == 0
    assert np.load(tmp_path / "y.npy").shape == (0, 10)
    assert main(["run", program, "-i", str(tmp_path / "xy.npz")]) == 0
    assert "0 samples" in capsys.readouterr().out
    refused = [
        ("COMPARE-NOTHING", ["compare", str(PATHS["reals"]), program, "-i", empty]),
        ("RUN-NO-SAMPLES", ["simulate", program, "-d", "Akida2FPGA", "-i", empty]),
        ("QUANTIZE-SAMPLES", ["quantize-float", str(EXAMPLES / "mnist_v2_float.h5"), "-s", empty, "-o", program]),
        ("SAMPLES-EMPTY", ["convert", "-m", str(LEGACY), "--samples", empty, "-o", program]),
    ]
    for code, words in refused:
        assert main(words) == 1
        assert code in capsys.readouterr().err

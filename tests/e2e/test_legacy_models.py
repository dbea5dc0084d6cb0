"""Models quantized by the legacy API, from the file down to integers: those trained on MNIST as Keras computes them,
random ones as rational numbers say.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from generators.exact import run_exactly
from generators.legacy import FILES, Line, networks
from generators.recorded import EXAMPLES, FIXTURES
from hypothesis import HealthCheck, given, settings

from cnn2snn_ir import convert, load
from cnn2snn_ir.dialects import nn, qnn
from cnn2snn_ir.dialects.builtin import Module
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.frontends import load_model
from cnn2snn_ir.ir import Tensor
from cnn2snn_ir.ir.rewrite import Rewriter
from cnn2snn_ir.passes.base import Pass, PassContext
from cnn2snn_ir.passes.instruments import PassFaultError, ValidateEach, VerifyEach, WholeTrial
from cnn2snn_ir.passes.legacy_pipeline import legacy_to_qnn
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import Pipeline, parse_pipeline
from cnn2snn_ir.reference import run, run_all

ACCURACY = {"mnist_legacy_iq8_wq4_aq4": 0.956, "mnist_legacy_iq8_wq2_aq2": 0.899, "mnist_legacy_iq8_wq4_aq1": 0.870}
"""What the models reach in Keras on these images."""

TO_REALS = str(Pipeline("builtin.module", legacy_to_qnn().items[:6]))
"""The part of `legacy-to-qnn` that stays in real numbers."""

HEADS = {"rgb_std": ["nn.softmax"], "gap_separable": ["nn.reshape", "nn.softmax"]}
"""What the host computes of the models of the fixtures."""

some = settings(deadline=None, suppress_health_check=list(HealthCheck))


def lowered(module, pipeline="legacy-to-qnn", checks=()):
    PassManager(parse_pipeline(pipeline), [*checks, VerifyEach()]).run(module)
    return module


# ---- as Keras computes them -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images():
    with np.load(EXAMPLES / "mnist_1000.npz") as archive:
        return archive["x"], archive["y"]


def expected(name):
    with np.load(FIXTURES / "legacy" / f"{name}.npz") as archive:
        return archive["logits"]


@pytest.mark.parametrize("name", ACCURACY)
def test_the_imported_model_computes_what_keras_does(name, images):
    """The reals differ from Keras's by what float32 rounds, and by nothing else: no level is another one."""
    (logits,) = run(load_model(EXAMPLES / f"{name}.h5"), images[0].astype(np.float32))
    assert np.abs(logits - expected(name)).max() < 2e-5
    assert (logits.argmax(1) == images[1]).mean() == ACCURACY[name]


@pytest.mark.parametrize("name", ACCURACY)
def test_the_integers_of_the_model(name, images):
    module = lowered(load_model(EXAMPLES / f"{name}.h5"))
    (logits,) = run(module, images[0])
    keras = expected(name)
    decided = logits.argmax(1)
    assert (decided == images[1]).mean() == pytest.approx(ACCURACY[name], abs=0.002)
    assert (decided == keras.argmax(1)).mean() >= 0.998
    dequantize = module.outputs[0].owner
    assert isinstance(dequantize, qnn.Dequantize)
    unit = dequantize.scale.array.astype(np.float64)
    assert (np.abs(logits - keras) <= unit / 2 + 2e-5).all()
    for sample in np.flatnonzero(decided != keras.argmax(1)):
        # the two are as near to each other as rounding the bias to an integer can move them
        mine, theirs = decided[sample], keras[sample].argmax()
        assert keras[sample][theirs] - keras[sample][mine] <= (unit[mine] + unit[theirs]) / 2 + 4e-5


@pytest.mark.parametrize("name", ACCURACY)
def test_every_level_of_the_integers_is_that_of_the_reals(name, images):
    """With its exact bias the last layer decides as Keras does on every image, so only that is rounded."""
    reals = lowered(load_model(EXAMPLES / f"{name}.h5"), TO_REALS)
    integers = lowered(load_model(EXAMPLES / f"{name}.h5"))
    count = 200
    before, after = run_all(reals, images[0][:count]), run_all(integers, images[0][:count])
    activations = [op for op in reals.body if isinstance(op, nn.QuantizedReLU)]
    assert len(activations) == 4
    for op in activations:
        assert np.array_equal(np.rint(before[op.result.name] / op.step), after[op.result.name])


AGREEMENT = {"mnist_legacy_iq8_wq4_aq4": 0.994, "mnist_legacy_iq8_wq2_aq2": 0.998, "mnist_legacy_iq8_wq4_aq1": 0.998}
"""Decisions of the program that are Keras's; two registers cannot put 15 levels right for weights that fill 4 bits."""


@pytest.mark.parametrize("name", ACCURACY)
def test_the_program(name, images, tmp_path):
    model = convert(EXAMPLES / f"{name}.h5", tmp_path / "model.fbz")
    assert model.module.annotations["target"] == "v1"
    (integers,) = run(lowered(load_model(EXAMPLES / f"{name}.h5")), images[0])
    found = model.predict(images[0]).reshape(1000, 10)
    assert (found.argmax(1) == images[1]).mean() == pytest.approx(ACCURACY[name], abs=0.0021)
    assert (found.argmax(1) == expected(name).argmax(1)).mean() >= AGREEMENT[name]
    off_by = [max(layer.op.annotations.get("off_by", (0,))) for layer in model.layers]
    assert any(off_by) is (name not in WIDENED)
    assert np.allclose(found, integers, rtol=0, atol=1e-6) is (name in WIDENED)


@pytest.mark.parametrize(("copies", "agreement"), [(2, 0.996), (4, 0.998), (10, 1.0)])
def test_copies_of_neurons_decide_as_keras_does(copies, agreement, images, tmp_path):
    """Weights that fill 4 bits have room again when two or more of them add up; with 10 every level is proven right."""
    name = "mnist_legacy_iq8_wq4_aq4"
    model = convert(EXAMPLES / f"{name}.h5", tmp_path / "model.fbz", copies=copies)
    found, keras = load(tmp_path / "model.fbz").predict(images[0]).reshape(1000, 10), expected(name)
    decided = found.argmax(1)
    assert (decided == keras.argmax(1)).mean() >= agreement
    assert (decided == images[1]).mean() == pytest.approx(ACCURACY[name], abs=0.0021)
    for sample in np.flatnonzero(decided != keras.argmax(1)):
        # none of these images was decided by more than the levels that are left may move a potential by
        mine, theirs = decided[sample], keras[sample].argmax()
        assert keras[sample][theirs] - keras[sample][mine] < 3 * np.abs(found - keras).std()
    inexact = [layer.output_name for layer in model.layers if "off_by" in layer.op.annotations]
    assert (inexact == ["re_lu_9"]) is (copies == 10)


WIDENED = ("mnist_legacy_iq8_wq2_aq2", "mnist_legacy_iq8_wq4_aq1")
"""Programs in which every level is right."""


@pytest.mark.slow
def test_one_image_in_rational_numbers(images):
    """Loops over fractions give the same integers as the folded thresholds."""
    name = "mnist_legacy_iq8_wq2_aq2"
    reals, integers = (
        lowered(load_model(EXAMPLES / f"{name}.h5"), TO_REALS),
        lowered(load_model(EXAMPLES / f"{name}.h5")),
    )
    assert_same(reals, integers, images[0][:1])


# ---- as rational numbers say ----------------------------------------------------------------------------------------


def assert_same(reals, integers, samples):
    """Levels are equal, potentials the nearest integers."""
    exact, found = run_exactly(reals, samples), run_all(integers, samples)
    levels = [op for op in integers.body if isinstance(op, qnn.Threshold)]
    steps = {op.result.name: op.step for op in reals.body if isinstance(op, nn.QuantizedReLU)}
    for op in levels:
        name = op.result.name
        assert np.array_equal(exact[name] * (1 / Fraction(steps[name])), found[name].astype(object)), name
    (dequantize,) = (op for op in integers.body if isinstance(op, qnn.Dequantize))
    name = dequantize.result.name or ""
    wanted = exact[name].astype(np.float64)
    given_reals = found[name] if name else run(integers, samples)[0]
    source = dequantize.x.owner
    source = source.x.owner if isinstance(source, qnn.Reshape) else source
    of_levels = isinstance(source, qnn.Threshold)
    bound = np.zeros(()) if of_levels else dequantize.scale.array / 2
    assert (np.abs(given_reals - wanted) <= bound + 1e-6 * np.abs(wanted).max() + 1e-9).all()
    return len(levels)


def samples_for(module, count, seed=0):
    (source,) = module.inputs
    rng = np.random.default_rng(seed)
    return rng.integers(source.element.lo, source.element.hi + 1, (count, *source.shape))


@settings(some, max_examples=50)
@given(networks())
def test_folded_levels_are_exact(line: Line):
    reals, integers = lowered(line.module(), TO_REALS), lowered(line.module())
    assert not [op for op in integers.body if op.op_name.startswith("nn.")]
    assert_same(reals, integers, samples_for(integers, 2))


@settings(some, max_examples=25)
@given(networks())
def test_the_reference_semantics_are_near_the_rationals(line: Line):
    reals = lowered(line.module(), TO_REALS)
    samples = samples_for(reals, 2)
    exact, found = run_exactly(reals, samples), run_all(reals, samples)
    for name in {op.results[0].name for op in reals.body if op.op_name.startswith("nn.")} - {None}:
        wanted = exact[name].astype(np.float64)
        assert np.abs(found[name] - wanted).max() <= 1e-9 * (1 + np.abs(wanted).max()), name


@settings(some, max_examples=25)
@given(networks())
def test_every_pass_keeps_its_contract(line: Line):
    lowered(line.module(), checks=[ValidateEach(2)])


@pytest.mark.parametrize("name", FILES)
def test_the_models_of_the_fixtures(name):
    path = FIXTURES / "legacy" / f"{name}.h5"
    reals, integers = lowered(load_model(path), TO_REALS), lowered(load_model(path), checks=[ValidateEach(2)])
    head = [op.op_name for op in integers.body if op.op_name.startswith("nn.")]
    assert head == HEADS.get(name, [])
    assert assert_same(reals, integers, samples_for(integers, 2)) >= 2


@pytest.mark.parametrize("name", FILES)
def test_programs_of_the_fixtures(name):
    """A conversion holds every pass to its contract on random inputs, so a program is one that computes the model."""
    path = FIXTURES / "legacy" / f"{name}.h5"
    model, (expected,) = convert(path), run(lowered(load_model(path)), samples_for(lowered(load_model(path)), 20))
    found = model.predict(samples_for(lowered(load_model(path)), 20))
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() <= 0.05 * np.abs(expected).max()


def test_eight_bits_behind_the_first_layer_run_but_do_not_map():
    """The legacy converter takes them; the chip does not, so there is a warning."""
    line = Line((9, 8, 3), 5).rescaling(1 / 64, -1.0).conv(3, 4, bits=8).relu(4).conv(4, 5, bits=8)
    module, context = line.module(), PassContext()
    PassManager(parse_pipeline("legacy-to-qnn, akida1-default"), [ValidateEach(2)]).run(module, context)
    found = [(d.code, d.found) for d in context.diagnostics if d.severity == "warning"]
    assert ("AK1-MAP-09", "8 bits") in found


# ---- planted bugs ---------------------------------------------------------------------------------------------------


def planted():
    """A model in which everything matters: signs, offsets, pooling, averages, every kind of layer."""
    line = Line((9, 8, 3), 5).rescaling(1 / 64, -1.0).conv(3, 4, bits=8, strides=[2, 1]).batchnorm(4, -1.5).relu(4)
    line.separable(4, 5).pool(3, 2).batchnorm(5).relu(2, 3.0).conv(5, 4, 1).average().batchnorm(4, -1.0).relu(4, 1.0)
    return line.dense(4, 3, kind="MaxQuantizer")


def attribute(kind, name, change):
    """A bug that changes an attribute of the first op of a kind."""

    def bug(module):
        op = next(op for op in module.body if isinstance(op, kind))
        setattr(op, name, change(getattr(op, name)))

    return bug


def values(change):
    return lambda tensor: Tensor.of(change(tensor.array), tensor.type.element, tensor.name)


def forget(kind):
    """A bug that leaves an op out."""

    def bug(module):
        op = next(op for op in module.body if isinstance(op, kind))
        Rewriter().replace_with(op, op.operands[0])

    return bug


def pool_after_average(module):
    """As if the average of maxima were the average."""
    op = next(op for op in module.body if isinstance(op, qnn.SumPool))
    pool = qnn.MaxPool(op.x, (2, 2), (1, 1), Padding.SAME)
    op.graph.insert_before(op, pool)
    op.set_operand(0, pool.result)


BUGS = {
    "the input scale": ("apply-input-scaling", attribute(nn.InputScaling, "scale", lambda s: s * 1.01)),
    "the input shift": ("apply-input-scaling", attribute(nn.InputScaling, "shift", lambda s: s + 0.5)),
    "the input's bits": ("apply-input-scaling", attribute(nn.InputScaling, "shift", lambda s: 0.0)),
    "pooling of the other kind": ("swap-pooling-batchnorm", attribute(nn.MaxPool, "padding", lambda p: Padding.VALID)),
    "a forgotten normalization": ("swap-pooling-batchnorm", forget(nn.BatchNorm)),
    "another epsilon": ("swap-pooling-batchnorm", attribute(nn.BatchNorm, "epsilon", lambda e: 1e-2)),
    "the sign of a slope": ("fold-batchnorm", attribute(nn.Conv2D, "weights", values(np.abs))),
    "the scale of a slope": ("fold-batchnorm", attribute(nn.Conv2D, "weight_scale", values(lambda s: s * 1.001))),
    "the mean": ("fold-batchnorm", attribute(nn.Conv2D, "bias", values(lambda b: b + 0.01))),
    "a threshold": ("fold-quantized-activations", attribute(qnn.Threshold, "thresholds", values(lambda t: t + 40))),
    "a level": ("fold-quantized-activations", attribute(qnn.Threshold, "thresholds", values(lambda t: t[:, :-1]))),
    "the padding": ("fold-quantized-activations", attribute(qnn.Conv2D, "pad_value", lambda p: None)),
    "the bias": ("fold-quantized-activations", forget(qnn.BiasAdd)),
    "half a unit and more": ("fold-quantized-activations", attribute(qnn.BiasAdd, "bias", values(lambda b: b + 1))),
    "the unit of the output": (
        "fold-quantized-activations",
        attribute(qnn.Dequantize, "scale", values(lambda s: s * 1.1)),
    ),
    "a sum of maxima": ("fold-quantized-activations", pool_after_average),
}


@dataclass(frozen=True)
class Planted(Pass):
    """What a correct pass does, and then the bug."""

    name = "planted"

    bug: Callable[[Module], None]
    correct: Pass

    def run(self, op, context):
        self.correct.run(op, context)
        self.bug(op)
        return True


def with_bug(bug, correct):
    """The pass with the bug, which promises what the correct one does."""

    class Wrong(Planted):
        contract = correct.contract
        changes_inputs = correct.changes_inputs
        inputs_before = correct.inputs_before

    return Wrong(bug, correct)


@pytest.mark.parametrize("what", BUGS)
def test_validation_catches_a_planted_bug(what):
    pass_name, bug = BUGS[what]
    items = legacy_to_qnn().items
    index = next(i for i, item in enumerate(items) if item.name == pass_name)
    correct = items[index]

    module = planted().module()
    PassManager(Pipeline("builtin.module", items[:index])).run(module)
    with pytest.raises(PassFaultError):
        PassManager(Pipeline("builtin.module", (with_bug(bug, correct),)), [ValidateEach(4)]).run(module)


@pytest.mark.parametrize("what", [what for what in BUGS if BUGS[what][0] != "apply-input-scaling"])
def test_the_trial_of_a_conversion_catches_it(what):
    pass_name, bug = BUGS[what]
    items = tuple(item for item in legacy_to_qnn().items if item.name != "check-legacy")
    index = next(i for i, item in enumerate(items) if item.name == pass_name)
    wrong = with_bug(bug, items[index])
    module = planted().module()
    PassManager(Pipeline("builtin.module", items[:1])).run(module)
    trial = WholeTrial(module)
    with pytest.raises(PassFaultError):
        PassManager(Pipeline("builtin.module", (*items[1:index], wrong, *items[index + 1 :])), [trial]).run(module)

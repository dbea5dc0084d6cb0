"""The rules of legacy models: for every rule a model that breaks it alone, and models that obey all."""

import numpy as np
import pytest
from generators.legacy import FILES, Line, networks, quantizer
from hypothesis import HealthCheck, given, settings

from cnn2snn_ir.diagnostics import CompileError, Severity
from cnn2snn_ir.dialects import builtin, nn
from cnn2snn_ir.ir import F32, Graph, Tensor, si
from cnn2snn_ir.passes.legacy_pipeline import legacy_to_qnn
from cnn2snn_ir.passes.legality.legacy import RULES
from cnn2snn_ir.passes.legality.survey import survey
from cnn2snn_ir.passes.manager import PassManager


def image(channels=1, **options):
    """The first layer of a legal model, and its activation: 8x8x6."""
    line = Line((8, 8, channels))
    return line.conv(channels, 6, bits=8, **options)


def lone_depthwise():
    """No Keras layer of the legacy API becomes this; an edited dump may hold it."""
    graph = Graph()
    x = graph.append(builtin.Input((8, 8, 2), F32, name="input")).results[0]
    weights = Tensor.of(np.ones((3, 3, 2), int), si(4), "dw/kernel")
    op = graph.append(nn.DepthwiseConv2D(x, weights, weight_scale=Tensor.of(np.asarray(2.0), F32, "dw/scale")))
    graph.append(builtin.Return((op.results[0],)))
    return builtin.Module("net", graph)


def zero_gamma():
    line = image().batchnorm(6)
    line.records[-1].weights["gamma"][2] = 0
    return line.relu().add("Flatten").dense(384, 3)


BREAKING = {
    "LEG-INPUT-01": lambda: Line((8, 4)).add("Flatten").dense(32, 3),
    "LEG-INPUT-02": lambda: Line((3,)).dense(3, 4),
    "LEG-INPUT-03": lambda: Line((8,)).rescaling(0.1, -0.3).dense(8, 4),
    "LEG-INPUT-04": lambda: Line((8, 8, 1)).rescaling(0.1, -0.25).conv(1, 6, bits=8).relu(),
    "LEG-INPUT-05": lambda: image().relu().rescaling(0.5).conv(6, 4),
    "LEG-WEIGHTS-01": lambda: Line((8,)).dense(8, 4, bits=0).relu().dense(4, 3),
    "LEG-WEIGHTS-02": lambda: image().relu().conv(6, 4, bits=3),
    "LEG-WEIGHTS-03": lambda: image().relu().separable(6, 4, bits=4, quantizer_dw=quantizer("MaxQuantizer", 2)),
    "LEG-CONV-01": lambda: image(dilation_rate=[2, 2]).relu(),
    "LEG-CONV-02": lone_depthwise,
    "LEG-DENSE-01": lambda: image().relu().dense(6, 3),
    "LEG-ACT-01": lambda: image().relu(3),
    "LEG-ACT-02": lambda: image().conv(6, 4),
    "LEG-ACT-03": lambda: image().relu().add("ActivationDiscreteRelu", bitwidth=2),
    "LEG-ACT-04": lambda: image().add("ReLU", max_value=6.0).conv(6, 4),
    "LEG-POOL-01": lambda: image().relu().average().dense(6, 3),
    "LEG-POOL-02": lambda: image().pool(padding="valid").relu(),
    "LEG-BN-01": lambda: image().relu().batchnorm(6).add("Flatten").dense(384, 3),
    "LEG-BN-02": lambda: image().pool().batchnorm(6, -1.0).relu(),
    "LEG-BN-03": zero_gamma,
    "LEG-SHAPE-01": lambda: image().relu().add("Reshape", target_shape=[4, 16, 6]).conv(6, 4),
}


def found(model):
    """Every error of a model, as `cnn2snn check` would list it."""
    module = model.module() if isinstance(model, Line) else model
    return [d for d in survey(module, legacy_to_qnn()) if d.severity is Severity.ERROR]


def test_every_rule_has_a_model_that_breaks_it():
    assert list(BREAKING) == [rule.code for rule in RULES]


@pytest.mark.parametrize("code", BREAKING)
def test_a_model_that_breaks_the_rule(code):
    diagnostics = found(BREAKING[code]())
    assert {d.code for d in diagnostics} == {code}
    for diagnostic in diagnostics:
        assert diagnostic.where
        assert diagnostic.found
        assert diagnostic.allowed
        assert diagnostic.help


@pytest.mark.parametrize("code", BREAKING)
def test_a_pipeline_refuses_it(code):
    model = BREAKING[code]()
    with pytest.raises(CompileError, match=code):
        PassManager(legacy_to_qnn()).run(model.module() if isinstance(model, Line) else model)


@pytest.mark.parametrize("name", FILES)
def test_models_that_obey_all_rules(name):
    assert not found(FILES[name]())


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(networks())
def test_random_models_obey_all_rules(line):
    assert not found(line)


def test_all_faults_of_a_model_at_once():
    line = Line((8, 8, 1)).rescaling(0.1, -0.25).conv(1, 6, bits=8, name="first").relu(3, name="three_bits")
    line.batchnorm(6, name="late").conv(6, 4, bits=5, name="five_bits").conv(4, 4, name="unactivated")
    assert [(d.code, d.where.partition(" ")[0]) for d in found(line)] == [
        ("LEG-INPUT-04", "first"),
        ("LEG-ACT-01", "three_bits"),
        ("LEG-BN-01", "late"),
        ("LEG-WEIGHTS-02", "five_bits"),
        ("LEG-ACT-02", "unactivated"),
    ]


def test_batch_normalization_behind_the_activation_is_told_about_the_order():
    (diagnostic,) = found(BREAKING["LEG-BN-01"]())
    assert diagnostic.found == "behind quantizedrelu_2 (QuantizedReLU)"
    assert "in front of the activation" in diagnostic.help
    assert "it reads nn.quantized_relu" in diagnostic.help


def test_float_layers_behind_the_last_quantized_one_are_the_hosts():
    line = image().relu().add("Flatten").dense(384, 5, name="last").relu()
    assert not found(line.dense(5, 2, bits=0, name="host").add("Softmax", axis=-1))

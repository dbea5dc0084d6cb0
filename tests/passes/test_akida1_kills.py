"""Planted bugs on the way to Akida 1: wrong programs that the trial of a conversion must catch, and validation too."""

import numpy as np
import pytest
from generators.networks import Builder
from generators.neurons import Neurons, flattened, neurons
from generators.planted import Planted, edit, layer, planted, swap, values

from cnn2snn_ir.dialects import akida1, qnn
from cnn2snn_ir.ir import Tensor, si, ui
from cnn2snn_ir.passes.convert_to_akida1 import ConvertToAkida1
from cnn2snn_ir.passes.instruments import PassFaultError, ValidateEach, WholeTrial
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import Pipeline, parse_pipeline
from cnn2snn_ir.passes.refine_potentials import RefinePotentials
from cnn2snn_ir.passes.sink_biases import SinkBiases
from cnn2snn_ir.passes.synthesize_thresholds import SynthesizeThresholds
from cnn2snn_ir.passes.widen_weights import WidenWeights

TO_BIASES = "canonicalize, fold-scales"
TO_LEVELS = f"{TO_BIASES}, sink-biases, fold-thresholds"
TO_BLOCKS = f"{TO_LEVELS}, synthesize-thresholds, fuse-blocks{{target=v1}}"


def padded():
    """An image with a padding value."""
    b = Neurons()
    return b.finish(
        b.dequantize(b.conv(b.stem(b.input((6, 6, 1)), pad_value=Tensor.of(9, si(16), "p")), "conv", 3, bits=4))
    )


def narrow():
    """Weights of two bits whose levels two registers cannot put right."""
    b = Builder(3)
    weights = Tensor.of(b.rng.integers(-1, 2, (1, 1, 3, 4)), si(2), "k")
    x = b.emit(qnn.Conv2D(b.input((4, 4, 3), ui(4)), weights))
    levels = Tensor.of(np.array([[1, 3, 4], [-9, -6, -4], [0, 5, 9], [2, 3, 5]]), si(29), "conv/thresholds")
    return b.finish(b.emit(qnn.Threshold(x, levels, ui(2)), "conv_relu"))


def chain():
    """Two layers of neurons, the second of which has levels that two registers cannot put right."""
    b = Neurons(2)
    x = b.stem(b.input((5, 5, 1)), filters=4)
    return b.finish(b.dequantize(b.dense(b.emit(qnn.SumPool(b.fire(b.conv(x, "conv", 3, bits=4), "out"))), "d", 2, 4)))


def without_statements(module):
    for op in module.body:
        op.annotations.pop("off_by", None)


IC, CV, SP, FC = akida1.InputConvolutional, akida1.Convolutional, akida1.SeparableConvolutional, akida1.FullyConnected


CONVERSION = {
    "a kernel not reversed": edit(layer(CV), "weights", values(lambda a: a[::-1])),
    "an input kernel reversed": edit(layer(IC), "weights", values(lambda a: a[::-1, ::-1])),
    "a depthwise kernel transposed": edit(layer(SP), "weights", values(lambda a: a.transpose(1, 0, 2))),
    "pointwise filters swapped": edit(layer(SP), "weights_pw", values(swap)),
    "a threshold of the other sign": edit(layer(FC), "threshold", values(np.negative)),
    "a threshold off by much": edit(layer(SP), "threshold", values(lambda a: a + 40)),
    "a step too small": edit(layer(CV), "act_step", values(lambda a: a * 0.8)),
    "steps swapped": edit(layer(CV), "act_step", values(swap)),
    "a pooling of another window": edit(layer(CV), "pool_size", lambda size: (1, 2)),
}
WIDENING = {
    "boundaries not multiplied": edit(layer(qnn.Threshold), "thresholds", values(lambda a: (a - 1) // 7 + 1)),
    "boundaries one potential late": edit(layer(qnn.Threshold), "thresholds", values(lambda a: a + 7)),
    "weights not multiplied": edit(layer(qnn.Conv2D), "weights", values(lambda a: a // 7)),
}
REFINING = {
    "boundaries of the coarser potentials": edit(layer(qnn.Threshold, 1), "thresholds", values(lambda a: a // 3)),
    "the weights once for every copy": edit(layer(qnn.Conv2D, 1), "weights", values(lambda a: a // 3)),
    "copies next to each other": edit(
        layer(qnn.Conv2D), "weights", values(lambda a: a[..., np.arange(a.shape[-1]) // 3])
    ),
    "a copy with other levels": edit(layer(qnn.Threshold), "thresholds", values(lambda a: np.vstack([a[1:], a[:1]]))),
    "not said how many copies": lambda module: layer(qnn.Threshold)(module).annotations.update(copies=2),
}
SYNTHESIS = {
    "levels of another neuron": edit(layer(qnn.Fire), "threshold", values(swap)),
    "half a step forgotten": edit(layer(qnn.Fire, 1), "threshold", values(lambda a: a - 60)),
}
SINKING = {
    "a bias once for many positions": edit(layer(qnn.BiasAdd, 3), "bias", values(lambda a: a // 36)),
    "a bias of another channel": edit(layer(qnn.BiasAdd, 2), "bias", values(swap)),
}
BY_MAP = values(lambda a: a.reshape(4, 5, 3, -1).transpose(1, 2, 0, 3).reshape(a.shape))

KILLS = {
    **{name: (neurons, TO_BLOCKS, ConvertToAkida1(), bug) for name, bug in CONVERSION.items()},
    **{name: (narrow, "canonicalize", WidenWeights(), bug) for name, bug in WIDENING.items()},
    **{name: (chain, TO_LEVELS, RefinePotentials(3), bug) for name, bug in REFINING.items()},
    **{name: (neurons, TO_LEVELS, SynthesizeThresholds(), bug) for name, bug in SYNTHESIS.items()},
    **{name: (neurons, TO_BIASES, SinkBiases(), bug) for name, bug in SINKING.items()},
    "no padding value": (padded, TO_BLOCKS, ConvertToAkida1(), edit(layer(IC), "padding_value", lambda value: 0)),
    "rows in the order of the map": (flattened, TO_BLOCKS, ConvertToAkida1(), edit(layer(FC), "weights", BY_MAP)),
    "differences not stated": (narrow, "canonicalize", SynthesizeThresholds(), without_statements),
}
"""A network, the passes before, the pass, and a bug in what it makes."""


@pytest.mark.parametrize("name", KILLS)
def test_the_trial_of_a_conversion_catches_it(name):
    network, before, correct, bug = KILLS[name]
    module = network()
    PassManager(parse_pipeline(before), []).run(module)
    trial = WholeTrial(module)

    def convert():
        PassManager(planted(correct, bug), [trial]).run(module)
        trial.check(module, "here")

    with pytest.raises(PassFaultError):
        convert()


@pytest.mark.parametrize("name", KILLS)
def test_validation_catches_it(name):
    network, before, correct, bug = KILLS[name]
    module = network()
    PassManager(parse_pipeline(before), []).run(module)
    with pytest.raises(PassFaultError):
        PassManager(planted(correct, bug), [ValidateEach(4)]).run(module)


@pytest.mark.parametrize("name", KILLS)
def test_without_the_bug_nothing_is_caught(name):
    network, before, correct, _ = KILLS[name]
    module = network()
    PassManager(parse_pipeline(before), []).run(module)
    trial = WholeTrial(module)
    PassManager(Pipeline("builtin.module", (Planted(correct, lambda module: None),)), [trial, ValidateEach(2)]).run(
        module
    )
    trial.check(module, "here")

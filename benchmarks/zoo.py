"""The networks of BrainChip's model zoo as programs with random weights, for mapping, timing and energy.

    from benchmarks.zoo import build, names

    build("akidanet_0.5_224")                                   an `akida1` module
    build("plant_village", generation=2, bits=4)                an `akida2` module
    build("arrhythmia", densities=(0.3, 0.4, 0.2, 0.3, 0.3))    what a layer gives is not 0 so often
    python -m benchmarks.zoo [NAME …]                           parameters, layers and densities

They have the shapes and bit widths of the published ones, and neither their weights nor their accuracy.  Inputs are
taken to be random bytes; every layer's thresholds are chosen so that about a given part of its outputs is not 0.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from benchmarks.zoo_layers import Akida1Network, Akida2Network, Growing
from benchmarks.zoo_networks import AKIDA1, AKIDA2, NetworkSpec
from benchmarks.zoo_sample import Sample
from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.passes.base import PassContext
from cnn2snn_ir.passes.convert_to_akida1 import ConvertToAkida1
from cnn2snn_ir.passes.default_pipelines import akida2_default
from cnn2snn_ir.passes.fuse_blocks import FuseBlocks
from cnn2snn_ir.passes.infer_bitwidths import InferBitwidths
from cnn2snn_ir.passes.legality.check import CheckLegality
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import MODULE, Pipeline
from cnn2snn_ir.runtime.model import WEIGHTS, Model
from cnn2snn_ir.versions import AkidaVersion

TABLES = {1: AKIDA1, 2: AKIDA2}
DENSITY = 0.4
"""Part of a layer's outputs that is not 0, unless told otherwise; the published ones are 0.1 to 0.7."""


def names(generation: int = 1) -> tuple[str, ...]:
    """The networks of a generation."""
    return tuple(TABLES[generation])


def network(name: str, generation: int = 1) -> NetworkSpec:
    """A network's entry in the table; raises ValueError with all names if there is none."""
    found = TABLES[generation].get(name)
    if found is None:
        raise ValueError(f"no such network of Akida {generation}: {name}; there are {', '.join(names(generation))}")
    return found


def build(
    name: str,
    seed: int = 0,
    generation: int = 1,
    *,
    bits: int = 8,
    rectified_depthwise: bool = False,
    densities: Sequence[float] | None = None,
    context: PassContext | None = None,
) -> builtin.Module:
    """A program with random weights: an `akida1` or `akida2` module, checked against all rules of its generation.

    Args:
        name: an entry of the table.
        seed: of the weights.
        generation: 1 or 2.
        bits: of weights and activations, 8 or 4, for Akida 2; those of Akida 1 are in the table.
        rectified_depthwise: for Akida 2, a ReLU behind depthwise convolutions too.
        densities: which part of the outputs of each layer but the last is not 0, for random bytes as inputs.  For
            Akida 1 the thresholds are then held against four such images, which takes about twice as long.
        context: takes what the rules warn of.

    Raises:
        ValueError: no such network, or another number of densities than it has layers before the last.
        CompileError: a rule forbids the network.
    """
    spec = network(name, generation)
    inner = len(spec.layers) - 1
    wanted = (DENSITY,) * inner if densities is None else tuple(densities)
    if len(wanted) != inner:
        raise ValueError(f"{name} has {inner} layers before the last, found {len(wanted)} densities")
    growing: Growing
    if generation == 1:
        growing = Akida1Network(name, spec, seed, wanted)
        growing.sample = Sample(spec.shape, seed) if densities is not None else None
    else:
        growing = Akida2Network(name, spec, seed, wanted)
        growing.bits, growing.rectified_depthwise = bits, rectified_depthwise
    module = growing.module()
    PassManager(pipeline(generation)).run(module, context or PassContext())
    return module


def pipeline(generation: int) -> Pipeline:
    """What turns `qnn` into a program; neurons of Akida 1 already have their registers."""
    if generation == 2:
        return akida2_default()
    check = CheckLegality(AkidaVersion.v1)
    return Pipeline(MODULE, (check, FuseBlocks(AkidaVersion.v1), check, ConvertToAkida1(), InferBitwidths()))


def parameters(module: builtin.Module) -> int:
    """Weights of a program, and a bias or a threshold a neuron, as Keras counts them."""
    layers = [layer for layer in Model(module).layers if layer.weights_bits]
    weights = sum(layer.variables[name].size for layer in layers for name in WEIGHTS if name in layer.variables)
    return weights + sum(layer.output_shape[-1] for layer in layers)


def main(chosen: Sequence[str]) -> None:
    """Print every network with the densities that it reaches on random bytes."""
    for name in chosen or names():
        model = Model(build(name))
        images = np.random.default_rng(1).integers(0, 256, (2, *model.input_shape), np.uint8)
        maps = list(model.intermediates(images).values())[:-1]
        reached = " ".join(f"{np.count_nonzero(m) / m.size:.2f}" for m in maps)
        print(f"{name:20} {parameters(model.module):>11,}  {reached}")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Random images that go through an Akida 1 network while it is built, so that its layers fire as often as they should.

Where few neurons fire, potentials are sums of few levels, and those are not normal; then thresholds that follow from
means and variances alone are too low or too high.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.zoo_moments import Floats, Moments
from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.ir import ElementType, Graph, Op, Value
from cnn2snn_ir.passes.convert_to_akida1 import ConvertToAkida1
from cnn2snn_ir.passes.fuse_blocks import FuseBlocks
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import MODULE, Pipeline
from cnn2snn_ir.reference.arithmetic import fire
from cnn2snn_ir.runtime.model import Model
from cnn2snn_ir.versions import AkidaVersion

Ints = npt.NDArray[np.int64]


class Sample:
    """The maps that a few random images have become so far."""

    def __init__(self, shape: tuple[int, ...], seed: int, count: int = 4) -> None:
        self.maps: npt.NDArray[np.generic] = np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)
        self.potentials: Ints = np.zeros(0, np.int64)

    def pass_through(self, ops: Sequence[Op], start: Value) -> None:
        """Compute the potentials of a layer, whose ops read `start`."""
        graph = Graph()
        source = builtin.Input(start.type.per_sample, start.type.element)
        graph.append(source)
        twins = {start: source.results[0]}
        for op in ops:
            graph.append(op.clone(twins))
        graph.append(builtin.Return((twins[ops[-1].results[0]],)))
        module = builtin.Module("layer", graph)
        PassManager(Pipeline(MODULE, (FuseBlocks(AkidaVersion.v1), ConvertToAkida1()))).run(module)
        self.potentials = Model(module).forward(self.maps).astype(np.int64)

    def threshold(self, moments: Moments, density: float) -> float:
        """The threshold that a part `density` of all potentials exceeds, in deviations from their channel's mean."""
        deviation = np.maximum(np.sqrt(moments.variance), 1e-9)
        return float(np.quantile((self.potentials - moments.mean) / deviation, 1 - density))

    def fire(self, threshold: Ints, step: Floats, to: ElementType) -> Moments:
        """Become the levels; returns their moments, over all channels."""
        levels = fire(self.potentials, threshold, step.astype(np.float32), to.bits)
        self.maps = levels.astype(to.dtype)
        return Moments.alike(levels.shape[-1], float(levels.mean()), float(levels.var()))

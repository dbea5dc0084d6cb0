"""The ranges of weights by the channels that they read and write, under factors that change."""

from __future__ import annotations

import numpy as np

from cnn2snn_ir.passes.quantization.channels import Channels, Ids, Layer
from cnn2snn_ir.passes.quantization.observed import Reals


class WeightRanges:
    """Factors for channels, and how large weights are when every channel is divided by its own."""

    def __init__(self, channels: Channels) -> None:
        self.channels = channels
        self.factors = np.ones(channels.count)
        self.sizes = {layer.op: largest(layer) for layer in channels.layers}
        self.boundaries = boundaries(channels)

    def sweep(self) -> float:
        """Make the ranges of all channels alike, one layer after the other; the largest change of a logarithm."""
        most = 0.0
        for ids, writers, readers in self.boundaries:
            written, read = np.zeros(self.channels.count), np.zeros(self.channels.count)
            for layer in writers:
                np.maximum.at(written, layer.written, self.scaled(layer, by_reader=False))
            for layer in readers:
                np.maximum.at(read, layer.read, self.scaled(layer, by_reader=True))
            free = ids[(written[ids] > 0) & (read[ids] > 0)]
            change = np.sqrt(written[free] / read[free])
            self.factors[free] *= change
            most = max(most, float(np.abs(np.log(change)).max(initial=0.0)))
        return most

    def scaled(self, layer: Layer, by_reader: bool) -> Reals:
        """The largest weight for each channel that a layer reads, or writes, under the factors."""
        sizes = self.sizes[layer.op] * layer.columns(self.factors[layer.read]) / self.factors[layer.written]
        return sizes if layer.is_depthwise else sizes.max(axis=1 if by_reader else 0)


def largest(layer: Layer) -> Reals:
    """The largest weight between each channel read and each one written, over all taps."""
    weights = np.abs(layer.op.weights.array.astype(np.float64))
    kept = 1 if layer.is_depthwise else 2
    found: Reals = weights.max(axis=tuple(range(weights.ndim - kept)))
    return found


def boundaries(channels: Channels) -> list[tuple[Ids, list[Layer], list[Layer]]]:
    """For each layer: the channels that it writes and that are free, and all layers that write or read some of them."""
    found = []
    for layer in channels.layers:
        ids = np.unique(layer.written)
        ids = ids[~channels.fixed[ids]]
        writers = [other for other in channels.layers if np.isin(other.written, ids).any()]
        readers = [other for other in channels.layers if np.isin(other.read, ids).any()]
        found.append((ids, writers, readers))
    return found

"""The table of an activation, with all that follows it where that depends on the index alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cnn2snn_ir.dialects import akida2
from cnn2snn_ir.reference.akida2 import output
from cnn2snn_ir.runtime.storage import Offsets

MAX_ENTRIES = 1 << 20
"""Of a table with a row for each channel: a few megabytes, which still fit in a second-level cache."""


@dataclass(frozen=True, eq=False)
class Table:
    """Results by index, from the `lowest` one on: [1, entries] for all channels alike, or [channels, entries]."""

    results: npt.NDArray[np.int64]
    lowest: int

    @classmethod
    def plain(cls, op: akida2.NeuralLayer) -> Table:
        """The table as it is."""
        assert op.lut_values is not None
        return cls(op.lut_values.int64[None], akida2.table_index(op).lo)

    @classmethod
    def with_output(cls, op: akida2.NeuralLayer) -> Table | None:
        """The table with the layer's output scale applied to every entry; None if it would be too large."""
        plain = cls.plain(op)
        scales = [v.array.shape for v in (op.output_scales, op.output_shift) if v is not None]
        (rows,) = np.broadcast_shapes((1,), *scales)
        if rows > 1 and rows * plain.results.size > MAX_ENTRIES:
            return None
        return cls(np.ascontiguousarray(output(op, plain.results.T).T), plain.lowest)

    def origins(self, channels: int) -> Offsets:
        """Where index 0 of every channel lies in the flattened results."""
        rows, entries = self.results.shape
        return np.broadcast_to(np.arange(rows) * entries - self.lowest, (channels,)).astype(np.int64)

"""How often potentials occur, estimated from some that were seen.

Few of a layer's potentials are common: what the background of an image gives, above all.  Those count as they are.
The others are a sample of a smooth distribution, taken to be uniform between neighbouring quantiles.  What was never
seen gets a small weight, which falls off on both sides of the median.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

COMMON = 0.01
"""A potential is common if it makes up more than this share of a channel's."""

QUANTILES = np.linspace(0.0, 1.0, 129)

UNSEEN = 1e-3
"""Weight of all that was never seen, beside 1 for all that was."""

FALL = 100
"""Half of the unseen weight lies within this fraction of the range around the median; levels of two QuantizeML models
differ least at 100 to 200."""


class Occurrence:
    """The occurrence of potentials in [lo, hi] [channels], from samples [n, channels]."""

    def __init__(self, seen: Ints, lo: Ints, hi: Ints) -> None:
        self._lo, self._hi = lo, hi
        self._channels = [_Channel(np.sort(seen[:, c])) for c in range(seen.shape[1])]

    def below(self, channel: int, bounds: Ints) -> Floats:
        """For each bound, the weight of all potentials below it."""
        lo, hi = int(self._lo[channel]), int(self._hi[channel])
        return self._channels[channel].below(np.clip(bounds, lo, hi + 1), (hi - lo + 1) / FALL)


class _Channel:
    """One channel's sorted samples, the common ones apart."""

    def __init__(self, seen: Ints) -> None:
        values, counts = np.unique(seen, return_counts=True)
        common = counts > COMMON * len(seen)
        self.common = values[common]
        self.shares = np.concatenate([[0.0], np.cumsum(counts[common]) / len(seen)])
        others = seen[~np.isin(seen, self.common)]
        self.others = len(others) / len(seen)
        self.quantiles = np.quantile(others, QUANTILES) if len(others) else None
        self.median = float(seen[len(seen) // 2])

    def below(self, bounds: Ints, fall: float) -> Floats:
        """The weight of all potentials below each bound."""
        edges = bounds - 0.5
        total: Floats = self.shares[np.searchsorted(self.common, bounds)]
        if self.quantiles is not None:
            total = total + self.others * np.interp(edges, self.quantiles, QUANTILES)
        away = (edges - self.median) / fall
        result: Floats = total + UNSEEN / 2 * (1 + away / (1 + np.abs(away)))
        return result

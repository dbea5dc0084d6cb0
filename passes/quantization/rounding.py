"""Rounding of weights, alone or with the errors handed on.

`nearest` rounds every weight by itself.  `with_feedback` rounds the taps of a filter one by one, and after each moves
those that are still real such that the layer's sums on typical inputs change least: it minimizes `|X·w - X·q|²`
greedily, with H = XᵀX.  Source: Frantar et al., "OPTQ: Accurate Quantization for Generative Pre-trained Transformers"
(ICLR 2023), algorithm 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DAMPING = 0.01
"""Part of the mean of H's diagonal that is added to it; source: as above, section 4."""


def nearest(weights: Reals, scale: Reals, top: int) -> Ints:
    """The nearest integers [taps, filters] of weights times their scale."""
    return np.clip(np.rint(weights * scale), -top, top).astype(np.int64)


def with_feedback(weights: Reals, scale: Reals, top: int, hessian: Reals) -> Ints:
    """Integers of weights [taps, filters], for one H [taps, taps], or one for each filter [filters, taps, taps]."""
    taps, _ = weights.shape
    strength = DAMPING * np.trace(hessian, axis1=-2, axis2=-1)[..., None, None] / taps
    damped = hessian + (strength + 1e-12) * np.eye(taps)
    upper = np.linalg.cholesky(np.linalg.inv(damped)).swapaxes(-1, -2)  # row i tells what tap i means for those behind
    rest = weights.copy()
    found = np.zeros(weights.shape, np.int64)
    for tap in range(taps):
        found[tap] = nearest(rest[tap], scale, top)
        error = (rest[tap] - found[tap] / scale) / upper[..., tap, tap]
        behind = upper[..., tap, tap + 1 :]
        rest[tap + 1 :] -= behind.T * error if upper.ndim == 3 else np.outer(behind, error)
    return found

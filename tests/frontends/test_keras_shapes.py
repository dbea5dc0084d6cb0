"""Joined values: how wide the integers are, and where their binary points stand."""

from types import SimpleNamespace

import numpy as np
import pytest

from cnn2snn_ir.dialects import builtin
from cnn2snn_ir.frontends.keras_h5.importer import UnsupportedLayerError
from cnn2snn_ir.frontends.keras_h5.shapes import concatenate
from cnn2snn_ir.frontends.keras_h5.tracked import Tracked
from cnn2snn_ir.ir import si

IMPORTER = SimpleNamespace(emit=lambda op: op.results[0])


def tracked(bits, frac_bits, positive=True, shape=(2, 2, 3)):
    value = builtin.Input(shape, si(bits), name=f"x{bits}").result
    return Tracked(value, bits, np.asarray(frac_bits, np.float64), None, positive)


def joined(*inputs, axis=-1):
    return concatenate(IMPORTER, SimpleNamespace(config={"axis": axis}), list(inputs))


def test_the_widest_part_says_how_wide_all_are():
    for order in ((0, 1), (1, 0)):
        parts = [tracked(8, 4), tracked(5, [1, 2, 3], positive=False)]
        found = joined(*(parts[i] for i in order))
        assert found.value_bits == 8
        assert found.frac_bits.tolist() == ([4, 4, 4, 1, 2, 3] if order == (0, 1) else [1, 2, 3, 4, 4, 4])
        assert not found.positive
    assert joined(tracked(8, 4), tracked(5, 4)).positive


def test_only_channels_may_differ_in_their_fractional_bits():
    assert joined(tracked(8, 4), tracked(8, 4), axis=1).frac_bits == 4
    with pytest.raises(UnsupportedLayerError):
        joined(tracked(8, 4), tracked(8, 5), axis=1)

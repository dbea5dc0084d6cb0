"""A small valid Akida 2 module that every test of the program file may use."""

import numpy as np
import pytest

from cnn2snn_ir.dialects import akida2, builtin
from cnn2snn_ir.ir import F32, Fused, Graph, Layer, Tensor, Text, si, ui


def make_module() -> builtin.Module:
    rng = np.random.default_rng(7)
    image = builtin.Input((6, 6, 1), ui(8), name="image", loc=Layer("image", "InputLayer", 0))
    conv = akida2.InputConv2D(
        image.result,
        Tensor.of(rng.integers(-8, 8, (3, 3, 1, 4)), si(4), "conv/kernel"),
        bias=Tensor.of([1, -2, 3, -4], si(8), "conv/bias"),
        activation=akida2.Activation.RELU,
        output_scales=Tensor.of([3, 5, 7, 9], ui(8), "conv/scales"),
        output_shift=Tensor.of([-4, -5, -6, -7], si(8), "conv/shift"),
        to=ui(4),
        name="conv",
        loc=Fused((Layer("conv", "QuantizedConv2D", 1), Layer("relu", "QuantizedReLU", 2))),
        annotations={"frac_bits": (4, 4, 5, 5), "bound": 1234, "note": "proven", "scale": -0.0, "empty": ()},
    )
    dense = akida2.Dense1D(
        conv.result,
        Tensor.of(rng.integers(-8, 8, (144, 3)), si(4), "dense/kernel"),
        name="dense",
        loc=Text("kws.c2s", 3, 5),
    )
    scores = akida2.Dequantizer(dense.result, Tensor.of(np.float32(0.25), F32, "scale"))
    end = builtin.Return((scores.result,))
    manifest = {"source": "kws.h5", "source_sha256": "ab" * 32, "pipeline": "akida2-default", "target": "akida2"}
    return builtin.Module("kws", Graph([image, conv, dense, scores, end]), annotations=manifest)


@pytest.fixture
def module() -> builtin.Module:
    return make_module()

"""The shapes that a survey of layers expects, by the rules of Keras."""

from types import SimpleNamespace

import numpy as np
import pytest

from cnn2snn_ir.frontends.keras_h5.survey import output_shape


def expected(class_name, shape, config, **weights):
    record = SimpleNamespace(class_name=class_name, config=config, weights=weights)
    return output_shape(record, SimpleNamespace(type=SimpleNamespace(per_sample=shape)))


@pytest.mark.parametrize(
    ("class_name", "shape", "config", "found"),
    [
        ("Dense", (7,), {"units": 5}, (5,)),
        ("QuantizedDense", (4, 6, 3), {"units": 5}, (4, 6, 5)),
        ("GlobalAveragePooling2D", (4, 6, 3), {}, (3,)),
        ("QuantizedGlobalAveragePooling2D", (4, 6, 3), {"keepdims": True}, (1, 1, 3)),
        ("Flatten", (4, 6, 3), {}, (72,)),
        ("QuantizedReLU", (4, 6, 3), {}, (4, 6, 3)),
        ("Lambda", (4, 6, 3), {}, None),
    ],
)
def test_shape(class_name, shape, config, found):
    assert expected(class_name, shape, config) == found


def test_the_kernel_knows_better_than_the_configuration():
    assert expected("Dense", (7,), {"units": 5}, kernel=np.zeros((7, 9))) == (9,)

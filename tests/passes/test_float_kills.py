"""Planted bugs in the passes on float networks: wrong rewrites, each of which validation must catch."""

import numpy as np
import pytest
from generators.float_networks import FloatBuilder, residual

from cnn2snn_ir.dialects import nn
from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.ir import F64, Tensor
from cnn2snn_ir.passes.base import REAL, Pass, PassContext
from cnn2snn_ir.passes.equalize import Equalize
from cnn2snn_ir.passes.fold_affines import FoldAffines
from cnn2snn_ir.passes.fold_batchnorm import FoldBatchnorm
from cnn2snn_ir.passes.fold_pads import FoldPads
from cnn2snn_ir.passes.instruments import PassFaultError, ValidateEach, VerifyEach
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.merge_affines import MergeAffines
from cnn2snn_ir.passes.pipeline import Pipeline, parse_pipeline
from cnn2snn_ir.passes.swap_pooling_batchnorm import SwapPoolingBatchnorm
from cnn2snn_ir.passes.write_as_depthwise import WriteAsDepthwise


def nets():
    """A net for each pass, in which its rewrite does something."""

    def normalized():
        b = FloatBuilder(1)
        return b.finish(b.batch_norm(b.conv(b.input((5, 5, 2)), 3)))

    def pooled():
        b = FloatBuilder(2)
        x = b.emit(nn.MaxPool(b.conv(b.input((6, 6, 2)), 3), (2, 2), (2, 2)), "pool")
        return b.finish(b.batch_norm(x, positive=True))

    def scaled():
        b = FloatBuilder(3)
        x = b.affine(b.affine(b.input((5, 5, 2))))
        x = b.relu(b.conv(x, 3, padding=Padding.VALID))
        return b.finish(b.dense(b.emit(nn.GlobalAveragePool(b.affine(x)), "mean"), 2))

    def padded():
        b = FloatBuilder(4)
        x = b.emit(nn.Pad(b.input((6, 6, 2)), (1, 1), (1, 1)), "pad")
        return b.finish(b.conv(x, 3, strides=(2, 2), padding=Padding.VALID))

    def spread():
        b = FloatBuilder(5)
        x = b.emit(nn.AveragePool(b.affine(b.relu(b.input((6, 6, 2)))), (2, 2), (2, 2)), "mean")
        return b.finish(b.emit(nn.Upsample(x, (2, 2)), "up"))

    def joined():
        module = residual(6)
        PassManager(parse_pipeline("prepare-nn")).run(module)
        return module

    return {f.__name__: f for f in (normalized, pooled, scaled, padded, spread, joined)}


def first(module, *kinds):
    return next(op for op in module.body if isinstance(op, kinds))


def last(module, *kinds):
    return [op for op in module.body if isinstance(op, kinds)][-1]


LAYERS = (nn.Conv2D, nn.DepthwiseConv2D, nn.DepthwiseConv2DTranspose, nn.Dense)


def edit(find, name, change):
    """A bug that changes the numbers of one constant."""

    def bug(module):
        op = find(module)
        tensor = getattr(op, name)
        setattr(op, name, Tensor.of(change(tensor.array.astype(np.float64)), F64, tensor.name))

    return bug


def first_weights(change):
    return edit(lambda module: first(module, *LAYERS), "weights", change)


def last_weights(change):
    return edit(lambda module: last(module, *LAYERS), "weights", change)


def set_padding(padding):
    def bug(module):
        first(module, nn.Conv2D).padding = padding

    return bug


def no_bias(module):
    first(module, nn.Conv2D, nn.DepthwiseConv2D).bias = None


def wrong_rate(module):
    op = next(op for op in module.body if "rate" in op.annotations)
    op.annotations["rate"] = Tensor.of(op.annotations["rate"].array * 1.01, F64, "rate")


def flip(weights):
    return weights[::-1, ::-1]


def swap(weights):
    return np.roll(weights, 1, axis=-1)


KILLS = {
    "batch norm: the slope is not multiplied": ("normalized", FoldBatchnorm(), first_weights(lambda w: w * 1.00001)),
    "batch norm: channels are swapped": ("normalized", FoldBatchnorm(), first_weights(swap)),
    "batch norm: the offset is lost": ("normalized", FoldBatchnorm(), no_bias),
    "batch norm: the kernel is turned": ("normalized", FoldBatchnorm(), first_weights(flip)),
    "swap: normalized twice": (
        "pooled",
        SwapPoolingBatchnorm(),
        edit(lambda m: first(m, nn.BatchNorm), "gamma", lambda g: g * g),
    ),
    "swap: means are swapped": ("pooled", SwapPoolingBatchnorm(), edit(lambda m: first(m, nn.BatchNorm), "mean", swap)),
    "merge: the first offset is not multiplied": (
        "scaled",
        MergeAffines(),
        edit(lambda m: first(m, nn.Affine), "offset", lambda o: o + 1e-3),
    ),
    "merge: scales are added": (
        "scaled",
        MergeAffines(),
        edit(lambda m: first(m, nn.Affine), "scale", lambda s: s + s),
    ),
    "affines: rows are swapped": ("scaled", FoldAffines(), first_weights(lambda w: w[:, :, ::-1])),
    "affines: the offset is lost": ("scaled", FoldAffines(), no_bias),
    "affines: behind the mean the scale is lost": ("scaled", FoldAffines(), last_weights(lambda w: w / 2)),
    "pads: the odd row goes below": ("padded", FoldPads(), set_padding(Padding.SAME)),
    "depthwise: a sum and no mean": ("spread", WriteAsDepthwise(), last_weights(lambda w: w * 4)),
    "depthwise: shifted by a position": ("spread", WriteAsDepthwise(), last_weights(flip)),
    "depthwise: the offset is lost": ("spread", WriteAsDepthwise(), no_bias),
    "equalize: the reader is not rescaled": ("joined", Equalize(), last_weights(lambda w: w[::-1])),
    "equalize: the bias is not rescaled": (
        "joined",
        Equalize(),
        edit(lambda m: first(m, nn.Conv2D), "bias", lambda b: b * 1.001),
    ),
    "equalize: a rate that is not the factor": ("joined", Equalize(), wrong_rate),
}


def run(name, pass_, bug):
    class Planted(Pass):
        name = "planted"
        contract = REAL

        def run(self, op, context):
            changed = pass_.run(op, context)
            if bug is not None:
                bug(op)
            return changed

    module = nets()[name]()
    PassManager(Pipeline("builtin.module", (Planted(),)), [ValidateEach(2), VerifyEach()]).run(module, PassContext())


@pytest.mark.parametrize("kill", KILLS)
def test_validation_kills(kill):
    with pytest.raises(PassFaultError):
        run(*KILLS[kill])


@pytest.mark.parametrize("kill", KILLS)
def test_nothing_is_found_without_the_bug(kill):
    name, pass_, _ = KILLS[kill]
    run(name, pass_, None)

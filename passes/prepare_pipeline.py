"""The pipeline that brings a float network into its normal form, before anything is quantized.

What remains are layers with weights, activations, poolings, sums, joints, shapes, and what a host computes behind the
last layer.
"""

from __future__ import annotations

from cnn2snn_ir.passes.canonicalize import Canonicalize
from cnn2snn_ir.passes.fold_affines import FoldAffines
from cnn2snn_ir.passes.fold_batchnorm import FoldBatchnorm
from cnn2snn_ir.passes.fold_pads import FoldPads
from cnn2snn_ir.passes.merge_affines import MergeAffines
from cnn2snn_ir.passes.pipeline import MODULE, Pipeline
from cnn2snn_ir.passes.remove_training_ops import RemoveTrainingOps
from cnn2snn_ir.passes.swap_activation_pooling import SwapActivationPooling
from cnn2snn_ir.passes.swap_pooling_batchnorm import SwapPoolingBatchnorm
from cnn2snn_ir.passes.write_as_depthwise import WriteAsDepthwise


def prepare_nn() -> Pipeline:
    """From an imported float module to its normal form."""
    return Pipeline(
        MODULE,
        (
            RemoveTrainingOps(),
            Canonicalize(),
            FoldPads(),  # while it is plain that a rectifier is in front
            MergeAffines(),
            SwapActivationPooling(),
            SwapPoolingBatchnorm(),
            FoldBatchnorm(),
            FoldAffines(),
            FoldBatchnorm(),  # what moved behind a layer on the way to another
            WriteAsDepthwise(),
            FoldPads(),  # in front of averages
            Canonicalize(),
        ),
    )

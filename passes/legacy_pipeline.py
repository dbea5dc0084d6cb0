"""The pipeline of legacy models, from real numbers down to integers; what follows is their target's."""

from __future__ import annotations

from cnn2snn_ir.passes.apply_input_scaling import ApplyInputScaling
from cnn2snn_ir.passes.canonicalize import Canonicalize
from cnn2snn_ir.passes.fold_batchnorm import FoldBatchnorm
from cnn2snn_ir.passes.fold_quantized_activations import FoldQuantizedActivations
from cnn2snn_ir.passes.fold_unit_reshapes import FoldUnitReshapes
from cnn2snn_ir.passes.legality.check_legacy import CheckLegacy
from cnn2snn_ir.passes.pipeline import MODULE, Pipeline
from cnn2snn_ir.passes.remove_training_ops import RemoveTrainingOps
from cnn2snn_ir.passes.swap_activation_pooling import SwapActivationPooling
from cnn2snn_ir.passes.swap_pooling_batchnorm import SwapPoolingBatchnorm


def legacy_to_qnn(scaling: tuple[float, float] | None = None) -> Pipeline:
    """From an imported `nn` module to integers; `scaling` is scale and shift of the input, if no layer says them."""
    return Pipeline(
        MODULE,
        (
            ApplyInputScaling(*(scaling or ())),
            RemoveTrainingOps(),
            SwapActivationPooling(),
            SwapPoolingBatchnorm(),
            FoldBatchnorm(),
            FoldUnitReshapes(),
            CheckLegacy(),
            FoldQuantizedActivations(),
            Canonicalize(),
        ),
    )

"""Pipelines from real networks to integers, for models that are quantized on the fly and for float ones."""

from __future__ import annotations

from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.passes.base import Pass
from cnn2snn_ir.passes.canonicalize import Canonicalize
from cnn2snn_ir.passes.fit_grids import FitGrids
from cnn2snn_ir.passes.fit_requantizers import FitRequantizers, Mode
from cnn2snn_ir.passes.fold_quantized_activations import FoldQuantizedActivations
from cnn2snn_ir.passes.pipeline import MODULE, Pipeline
from cnn2snn_ir.passes.prepare_pipeline import prepare_nn
from cnn2snn_ir.passes.recognize_integers import RecognizeIntegers
from cnn2snn_ir.passes.simplify_quantizers import SimplifyQuantizers
from cnn2snn_ir.passes.write_out_thresholds import WriteOutThresholds
from cnn2snn_ir.versions import AkidaVersion


def to_integers(target: AkidaVersion, mode: Mode = Mode.BOUNDED) -> tuple[Pass, ...]:
    """From quantized reals to the integers that a target can compute."""
    output = FitRequantizers(mode) if target is AkidaVersion.v2 else WriteOutThresholds()
    return (FoldQuantizedActivations(), Canonicalize(), output, Canonicalize())


def quantized_to_qnn(target: AkidaVersion = AkidaVersion.v2, onnx_mode: str = "bounded") -> Pipeline:
    """From a network that is quantized on the fly (`nn.fake_quantize`) to integers; raises `CompileError`."""
    if onnx_mode not in list(Mode):
        raise fail("ONNX-MODE", "there is no such mode", found=onnx_mode, allowed=", ".join(Mode))
    mode = Mode(onnx_mode)
    grids = (FitGrids(mode), SimplifyQuantizers()) if target is AkidaVersion.v2 else ()
    front = (*prepare_nn().items, RecognizeIntegers(), SimplifyQuantizers(), *grids)
    return Pipeline(MODULE, (*front, *to_integers(target, mode)))

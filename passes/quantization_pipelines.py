"""Pipelines from real networks to integers, for models that are quantized on the fly and for float ones."""

from __future__ import annotations

from cnn2snn_ir.diagnostics import fail
from cnn2snn_ir.passes.apply_input_scaling import ApplyInputScaling
from cnn2snn_ir.passes.base import Pass
from cnn2snn_ir.passes.calibrate import Calibrate, Method
from cnn2snn_ir.passes.canonicalize import Canonicalize
from cnn2snn_ir.passes.equalize import By, Equalize
from cnn2snn_ir.passes.fit_grids import FitGrids
from cnn2snn_ir.passes.fit_requantizers import FitRequantizers, Mode
from cnn2snn_ir.passes.fold_quantized_activations import FoldQuantizedActivations
from cnn2snn_ir.passes.pipeline import MODULE, Pipeline
from cnn2snn_ir.passes.place_quantizers import PlaceQuantizers
from cnn2snn_ir.passes.prepare_pipeline import prepare_nn
from cnn2snn_ir.passes.quantization.schemes import scheme_named
from cnn2snn_ir.passes.quantize_weights import QuantizeWeights
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


def quantize_float(
    scheme: str = "8/8/8", reads: str = "", equalize: bool = True, power_of_two: bool = False
) -> Pipeline:
    """From a float network to integers; `reads` is the type of a program's input, if it is no float."""
    chosen = scheme_named(scheme)
    target = AkidaVersion.v1 if chosen.neurons else AkidaVersion.v2
    return Pipeline(
        MODULE,
        (
            *((ApplyInputScaling(to=reads),) if reads else ()),
            *prepare_nn().items,
            *((Calibrate(), Equalize(By.ACTIVATIONS)) if equalize else ()),
            Calibrate(Method.MSE if chosen.activation_bits < 8 else Method.MAX, bits=chosen.activation_bits),
            PlaceQuantizers(chosen.name, power_of_two),
            QuantizeWeights(chosen.name),
            *to_integers(target),
        ),
    )

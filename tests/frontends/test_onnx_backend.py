"""ONNX's own cases for every standard operator that is imported, computed by the reference semantics.

Each case is computed as ONNX says, or refused for the reason that `REFUSED` gives.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from generators.onnx_cases import Case, cases, computed, imported

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.frontends.onnx.standard.call import TABLE
from cnn2snn_ir.frontends.onnx.standard.importer import fill_table

fill_table()
OPERATORS = sorted(op for domain, op in TABLE if not domain)

BATCH = "the batch would not stay the first dimension"
TYPE = "numbers that are no float32, and integers without a scale"
TRAINING = "what acts while training"
SPACE = "maps of three dimensions"

REFUSED = {
    r"test_(add|sub|mul|div|clip_default|maxpool_2d)_u?int.*(?<!expanded)": (("ONNX-TYPE",), TYPE),
    r"test_(max|min)_(u?int.*|float16|float64)": (("ONNX-TYPE", "ONNX-CONSTANT"), TYPE),
    r"test_(edge|reflect|wrap)_pad": (("ONNX-NODE",), "borders that repeat the map"),
    r"test_(average|max)pool_3d.*|test_convtranspose_3d": (("ONNX-SHAPE",), SPACE),
    r"test_(average|max)pool_2d_dilations": (("ONNX-NODE",), "windows with gaps"),
    r"test_averagepool_2d_pads": (("ONNX-NODE",), "a border of 2 around a window of 3, which does not count"),
    r"test_maxpool_with_argmax.*": (("ONNX-NODE",), "positions of maxima"),
    r"test_convtranspose_(output_shape|pad|pads|kernel_shape|dilations)": (("ONNX-NODE",), "crops the chip has not"),
    r"test_batchnorm_.*_training_mode|test_training_dropout.*": (("ONNX-NODE",), TRAINING),
    r"test_dropout_default_mask.*": (("ONNX-NODE",), "the mask as a result"),
    r"test_clip(|_example|_outbounds|_inbounds|_splitbounds|_min_greater_than_max|_default_max)": (
        ("ONNX-NODE",),
        "bounds that no rectifier has",
    ),
    r"test_concat_.*_axis_0|test_concat_(2d_axis_negative_2|3d_axis_negative_3)": (("ONNX-BATCH",), BATCH),
    r"test_flatten_(axis[023]|negative_axis[124])": (("ONNX-NODE",), BATCH),
    r"test_reshape_(reordered_all_dims|one_dim|negative_extended_dims)": (("ONNX-BATCH",), BATCH),
    r"test_reshape_allowzero_reordered|test_split_zero.*": (("ONNX-INPUT", "ONNX-SHAPE"), "nothing in it"),
    r"test_transpose_(default|all_permutations_[2-5])|test_unsqueeze_axis_0": (("ONNX-NODE",), BATCH),
    r"test_softmax_axis_0|test_reduce_mean_default_axes_.*": (("ONNX-NODE",), BATCH),
    r"test_squeeze|test_gemm_default_matrix_bias": (("ONNX-SHAPE",), BATCH),
    r"test_gemm_(transposeA|all_attributes)": (("ONNX-NODE",), BATCH),
    r"test_div|test_div_example": (("ONNX-NODE",), "a division by what depends on the input"),
    r"test_mul|test_mul_example": (("ONNX-NODE",), "a product of two inputs"),
    r"test_(max|min)_(example|one_input|two_inputs|float32)": (
        ("ONNX-NODE", "ONNX-CONSTANT"),
        "extremes of two inputs",
    ),
    r"test_erf": (("ONNX-NODE",), "outside of Gelu"),
    r"test_hardsigmoid(|_example)": (("ONNX-NODE",), "a ramp that is not around 1/2"),
    r"test_matmul_(3d|4d|bcast|1d_3d|4d_1d|1d_1d)": (("ONNX-SHAPE",), "what is no matrix"),
    r"test_prelu_.*": (("ONNX-NODE",), "slopes of their own"),
    r"test_resize_.*(linear|cubic|antialias|tf_crop).*": (("ONNX-NODE",), "other ways to resize"),
    r"test_resize_downsample_.*nearest.*": (("ONNX-NODE",), "smaller maps"),
    r"test_resize_upsample_sizes_nearest(_axes.*|_not.*|)": (("ONNX-NODE",), "factors that are not whole"),
    r"test_resize_upsample_sizes_nearest_(floor_align|round_prefer|ceil).*": (("ONNX-NODE",), "no repetition"),
    r"test_(quantize|dequantize)linear_blocked.*": (("ONNX-QUANT",), "blocks with scales of their own"),
    r"test_dequantizelinear_axis": (("ONNX-QUANT",), "an input with a scale for each channel"),
    r"test_qlinearmatmul_3D.*": (("ONNX-SHAPE",), "what is no matrix"),
    r"test_(shape|size)(|_.*)": (("ONNX-NODE",), "a constant as the output"),
}
"""Cases ▶ codes of which one refuses them, and why."""


@pytest.mark.parametrize("op", OPERATORS)
def test_cases_are_computed_or_refused(op: str, tmp_path: Path) -> None:
    faults = [fault for case in cases().get(op, []) if (fault := fault_of(case, tmp_path))]
    assert not faults, "\n".join(faults)


def fault_of(case: Case, folder: Path) -> str:
    expected = {c for pattern, (codes, _) in REFUSED.items() if re.fullmatch(pattern, case.name) for c in codes}
    try:
        found = imported(case.model, folder)
    except CompileError as error:
        codes = {d.code for d in error.diagnostics}
        return "" if codes & expected else f"{case.name}: refused, {error}"
    if expected:
        return f"{case.name}: not refused"
    results = computed(found, case.inputs)
    for result, wanted in zip(results, case.outputs, strict=True):
        if result.shape != wanted.shape:
            return f"{case.name}: {result.shape} instead of {wanted.shape}"
        if not np.allclose(result, wanted, *case.tolerance, equal_nan=True):
            return f"{case.name}: off by {np.abs(result - wanted).max()}"
    return ""


def test_all_operators_have_cases() -> None:
    assert {op for op in OPERATORS if op not in cases()} == {"Cast"}  # its cases are no arrays of numpy


def test_no_reason_is_stale() -> None:
    names = [case.name for op in OPERATORS for case in cases().get(op, [])]
    stale = [pattern for pattern in REFUSED if not any(re.fullmatch(pattern, name) for name in names)]
    assert not stale


WRITTEN_OUT = ("test_hardswish_expanded", "test_mish_expanded", "test_depthtospace_crd_mode_example_expanded")


def test_operators_written_out_are_computed_or_refused(tmp_path: Path) -> None:
    faults, seen = [], set()
    for case in cases()["expanded"]:
        try:
            results = computed(imported(case.model, tmp_path), case.inputs)
        except CompileError:
            continue
        seen.add(case.name)
        if not all(np.allclose(r, w, *case.tolerance) for r, w in zip(results, case.outputs, strict=True)):
            faults.append(case.name)
    assert not faults
    assert seen.issuperset(WRITTEN_OUT)

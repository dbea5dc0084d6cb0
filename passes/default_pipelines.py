"""The pipelines of ordinary conversions, one function a target; `registry.PIPELINES` names them."""

from __future__ import annotations

from cnn2snn_ir.passes.canonicalize import Canonicalize
from cnn2snn_ir.passes.convert_to_akida2 import ConvertToAkida2
from cnn2snn_ir.passes.fold_scales import FoldScales
from cnn2snn_ir.passes.fuse_blocks import FuseBlocks
from cnn2snn_ir.passes.infer_bitwidths import InferBitwidths
from cnn2snn_ir.passes.legality.check import CheckLegality
from cnn2snn_ir.passes.materialize_alignment import MaterializeAlignment
from cnn2snn_ir.passes.pipeline import MODULE, Pipeline
from cnn2snn_ir.versions import AkidaVersion


def akida2_default() -> Pipeline:
    """From an imported `qnn` module to an Akida 2 program."""
    return Pipeline(
        MODULE,
        (
            Canonicalize(),
            CheckLegality(AkidaVersion.v2),  # single layers, by the names their users gave them
            FoldScales(),
            MaterializeAlignment(),
            FuseBlocks(AkidaVersion.v2),
            Pipeline("qnn.block", (Canonicalize(),)),
            CheckLegality(AkidaVersion.v2),  # blocks, and what no block took
            ConvertToAkida2(),
            Canonicalize(),
            InferBitwidths(),
        ),
    )

"""The pipeline of ordinary conversions for Akida 1; apart, because most are for Akida 2 and start faster."""

from __future__ import annotations

from cnn2snn_ir.passes.canonicalize import Canonicalize
from cnn2snn_ir.passes.convert_to_akida1 import ConvertToAkida1
from cnn2snn_ir.passes.fold_scales import FoldScales
from cnn2snn_ir.passes.fold_thresholds import FoldThresholds
from cnn2snn_ir.passes.fuse_blocks import FuseBlocks
from cnn2snn_ir.passes.infer_bitwidths import InferBitwidths
from cnn2snn_ir.passes.legality.check import CheckLegality
from cnn2snn_ir.passes.legalize.write_out_dilation import WriteOutDilation
from cnn2snn_ir.passes.limit_act_steps import LimitActSteps
from cnn2snn_ir.passes.pipeline import MODULE, Pipeline
from cnn2snn_ir.passes.refine_potentials import RefinePotentials
from cnn2snn_ir.passes.sink_biases import SinkBiases
from cnn2snn_ir.passes.synthesize_thresholds import SynthesizeThresholds
from cnn2snn_ir.passes.widen_weights import WidenWeights
from cnn2snn_ir.versions import AkidaVersion


def akida1_default(legalize: bool = True, copies: int = 1) -> Pipeline:
    """From an imported `qnn` module to an Akida 1 program; without `legalize`, only as the model states it.

    Layers may read up to so many `copies` of their channels, to have their levels right.
    """
    return Pipeline(
        MODULE,
        (
            Canonicalize(),
            FoldScales(),
            *((WriteOutDilation(),) if legalize else ()),
            CheckLegality(AkidaVersion.v1),  # single layers, by the names their users gave them
            SinkBiases(),
            FoldThresholds(),
            LimitActSteps(),
            *((WidenWeights(),) if legalize else ()),
            *((RefinePotentials(copies),) if copies > 1 else ()),
            SynthesizeThresholds(),
            FuseBlocks(AkidaVersion.v1),
            CheckLegality(AkidaVersion.v1),  # blocks, and what no block took
            ConvertToAkida1(),
            Canonicalize(),
            InferBitwidths(),
        ),
    )

"""The pipelines of ordinary conversions, one function a target; `registry.PIPELINES` names them."""

from __future__ import annotations

from cnn2snn_ir.passes.base import Pass
from cnn2snn_ir.passes.canonicalize import Canonicalize
from cnn2snn_ir.passes.convert_to_akida2 import ConvertToAkida2
from cnn2snn_ir.passes.fold_scales import FoldScales
from cnn2snn_ir.passes.fuse_blocks import FuseBlocks
from cnn2snn_ir.passes.infer_bitwidths import InferBitwidths
from cnn2snn_ir.passes.legality.check import CheckLegality
from cnn2snn_ir.passes.legalize.equal_strides import EqualStrides
from cnn2snn_ir.passes.legalize.host_lone_ops import HostLoneOps
from cnn2snn_ir.passes.legalize.limit_fan_out import LimitFanOut
from cnn2snn_ir.passes.legalize.match_pool_padding import MatchPoolPadding
from cnn2snn_ir.passes.legalize.pad_kernels import PadKernels
from cnn2snn_ir.passes.legalize.round_pools_up import RoundPoolsUp
from cnn2snn_ir.passes.legalize.separate_pools import SeparatePools
from cnn2snn_ir.passes.legalize.separate_twins import SeparateTwins
from cnn2snn_ir.passes.legalize.split_concats import SplitConcats
from cnn2snn_ir.passes.legalize.split_depthwise import SplitDepthwise
from cnn2snn_ir.passes.legalize.square_kernels import SquareKernels
from cnn2snn_ir.passes.legalize.write_out_depthwise import WriteOutDepthwise
from cnn2snn_ir.passes.legalize.write_out_dilation import WriteOutDilation
from cnn2snn_ir.passes.materialize_alignment import MaterializeAlignment
from cnn2snn_ir.passes.pipeline import MODULE, Pipeline
from cnn2snn_ir.versions import AkidaVersion

LEGALIZATIONS: tuple[Pass, ...] = (
    WriteOutDilation(),
    WriteOutDepthwise(),
    EqualStrides(),
    SquareKernels(),
    PadKernels(),
    SplitDepthwise(),
    MatchPoolPadding(),
    RoundPoolsUp(),
    SeparatePools(),
    HostLoneOps(),
    SplitConcats(),
    SeparateTwins(),
    LimitFanOut(),
)
"""Exact rewrites of what Akida 2 has no layer for: kernels, poolings, lone ops, then who reads what."""


def akida2_legalize() -> Pipeline:
    """The legalizations on their own."""
    return Pipeline(MODULE, (FoldScales(), *LEGALIZATIONS))


def akida2_default(legalize: bool = True) -> Pipeline:
    """From an imported `qnn` module to an Akida 2 program; without `legalize`, only as the model states it."""
    return Pipeline(
        MODULE,
        (
            Canonicalize(),
            FoldScales(),
            *(LEGALIZATIONS if legalize else ()),
            CheckLegality(AkidaVersion.v2),  # single layers, by the names their users gave them
            MaterializeAlignment(),
            FuseBlocks(AkidaVersion.v2),
            Pipeline("qnn.block", (Canonicalize(),)),
            CheckLegality(AkidaVersion.v2),  # blocks, and what no block took
            ConvertToAkida2(),
            Canonicalize(),
            InferBitwidths(),
        ),
    )

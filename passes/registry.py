"""All passes and named pipelines, by name.  Classes are imported when somebody names them.

Other distributions add passes with an entry point in the group `cnn2snn_ir.passes`:

    [project.entry-points."cnn2snn_ir.passes"]
    my-pass = "my_package.my_pass:MyPass"
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from cnn2snn_ir.diagnostics import fail

if TYPE_CHECKING:
    from cnn2snn_ir.passes.base import Pass
    from cnn2snn_ir.passes.pipeline import Pipeline

GROUP = "cnn2snn_ir.passes"

PASSES = {
    "canonicalize": "cnn2snn_ir.passes.canonicalize:Canonicalize",
    "check-legality": "cnn2snn_ir.passes.legality.check:CheckLegality",
    "fold-scales": "cnn2snn_ir.passes.fold_scales:FoldScales",
    "fold-thresholds": "cnn2snn_ir.passes.fold_thresholds:FoldThresholds",
    "write-out-depthwise": "cnn2snn_ir.passes.legalize.write_out_depthwise:WriteOutDepthwise",
    "write-out-dilation": "cnn2snn_ir.passes.legalize.write_out_dilation:WriteOutDilation",
    "equal-strides": "cnn2snn_ir.passes.legalize.equal_strides:EqualStrides",
    "square-kernels": "cnn2snn_ir.passes.legalize.square_kernels:SquareKernels",
    "pad-kernels": "cnn2snn_ir.passes.legalize.pad_kernels:PadKernels",
    "split-depthwise": "cnn2snn_ir.passes.legalize.split_depthwise:SplitDepthwise",
    "match-pool-padding": "cnn2snn_ir.passes.legalize.match_pool_padding:MatchPoolPadding",
    "round-pools-up": "cnn2snn_ir.passes.legalize.round_pools_up:RoundPoolsUp",
    "separate-pools": "cnn2snn_ir.passes.legalize.separate_pools:SeparatePools",
    "host-lone-ops": "cnn2snn_ir.passes.legalize.host_lone_ops:HostLoneOps",
    "split-concats": "cnn2snn_ir.passes.legalize.split_concats:SplitConcats",
    "separate-twins": "cnn2snn_ir.passes.legalize.separate_twins:SeparateTwins",
    "limit-fan-out": "cnn2snn_ir.passes.legalize.limit_fan_out:LimitFanOut",
    "materialize-alignment": "cnn2snn_ir.passes.materialize_alignment:MaterializeAlignment",
    "fuse-blocks": "cnn2snn_ir.passes.fuse_blocks:FuseBlocks",
    "infer-bitwidths": "cnn2snn_ir.passes.infer_bitwidths:InferBitwidths",
    "sink-biases": "cnn2snn_ir.passes.sink_biases:SinkBiases",
    "limit-act-steps": "cnn2snn_ir.passes.limit_act_steps:LimitActSteps",
    "widen-weights": "cnn2snn_ir.passes.widen_weights:WidenWeights",
    "refine-potentials": "cnn2snn_ir.passes.refine_potentials:RefinePotentials",
    "synthesize-thresholds": "cnn2snn_ir.passes.synthesize_thresholds:SynthesizeThresholds",
    "convert-to-akida1": "cnn2snn_ir.passes.convert_to_akida1:ConvertToAkida1",
    "convert-to-akida2": "cnn2snn_ir.passes.convert_to_akida2:ConvertToAkida2",
    "apply-input-scaling": "cnn2snn_ir.passes.apply_input_scaling:ApplyInputScaling",
    "remove-training-ops": "cnn2snn_ir.passes.remove_training_ops:RemoveTrainingOps",
    "swap-activation-pooling": "cnn2snn_ir.passes.swap_activation_pooling:SwapActivationPooling",
    "swap-pooling-batchnorm": "cnn2snn_ir.passes.swap_pooling_batchnorm:SwapPoolingBatchnorm",
    "merge-affines": "cnn2snn_ir.passes.merge_affines:MergeAffines",
    "fold-batchnorm": "cnn2snn_ir.passes.fold_batchnorm:FoldBatchnorm",
    "fold-affines": "cnn2snn_ir.passes.fold_affines:FoldAffines",
    "fold-pads": "cnn2snn_ir.passes.fold_pads:FoldPads",
    "write-as-depthwise": "cnn2snn_ir.passes.write_as_depthwise:WriteAsDepthwise",
    "fold-unit-reshapes": "cnn2snn_ir.passes.fold_unit_reshapes:FoldUnitReshapes",
    "check-legacy": "cnn2snn_ir.passes.legality.check_legacy:CheckLegacy",
    "simplify-quantizers": "cnn2snn_ir.passes.simplify_quantizers:SimplifyQuantizers",
    "fit-grids": "cnn2snn_ir.passes.fit_grids:FitGrids",
    "recognize-integers": "cnn2snn_ir.passes.recognize_integers:RecognizeIntegers",
    "write-out-thresholds": "cnn2snn_ir.passes.write_out_thresholds:WriteOutThresholds",
    "equalize": "cnn2snn_ir.passes.equalize:Equalize",
    "calibrate": "cnn2snn_ir.passes.calibrate:Calibrate",
    "place-quantizers": "cnn2snn_ir.passes.place_quantizers:PlaceQuantizers",
    "quantize-weights": "cnn2snn_ir.passes.quantize_weights:QuantizeWeights",
    "fit-requantizers": "cnn2snn_ir.passes.fit_requantizers:FitRequantizers",
    "fold-quantized-activations": "cnn2snn_ir.passes.fold_quantized_activations:FoldQuantizedActivations",
    "place-on-device": "cnn2snn_ir.backends.mapping.place_on_device:PlaceOnDevice",
}
"""Name ▶ `module:class`."""

PIPELINES: dict[str, str] = {
    "akida1-default": "cnn2snn_ir.passes.akida1_pipeline:akida1_default",
    "akida2-default": "cnn2snn_ir.passes.default_pipelines:akida2_default",
    "akida2-legalize": "cnn2snn_ir.passes.default_pipelines:akida2_legalize",
    "quantize-float": "cnn2snn_ir.passes.quantization_pipelines:quantize_float",
    "quantized-to-qnn": "cnn2snn_ir.passes.quantization_pipelines:quantized_to_qnn",
    "legacy-to-qnn": "cnn2snn_ir.passes.legacy_pipeline:legacy_to_qnn",
    "prepare-nn": "cnn2snn_ir.passes.prepare_pipeline:prepare_nn",
}
"""Name ▶ `module:function` that builds the pipeline, or its text; a text may name others."""


class Source(NamedTuple):
    """Where the class of a pass is, and the distribution that says so."""

    target: str
    distribution: str


def pass_names() -> list[str]:
    """The names of all passes, ours first."""
    return [*_extra, *_sources()]


def is_ours(name: str) -> bool:
    """Whether the pass called `name` comes with this distribution."""
    return name in PASSES and name not in _extra


def find_pass(name: str) -> type[Pass] | None:
    """The pass called `name`, or None; raises `CompileError` if it is there but cannot be loaded."""
    if name in _extra:
        return _extra[name]
    source = _sources().get(name)
    return _load(name, source) if source is not None else None


def find_pipeline(name: str, **choices: int) -> Pipeline | str:
    """The pipeline called `name`, or its text; raises KeyError if there is none.

    `choices` go to the function that builds it, which has a default for each.
    """
    definition = PIPELINES[name]
    module, colon, function = definition.partition(":")
    if not colon:
        return definition
    pipeline: Pipeline = getattr(import_module(module), function)(**choices)
    return pipeline


@contextmanager
def extended(passes: Iterable[type[Pass]] = (), pipelines: Mapping[str, str] | None = None) -> Iterator[None]:
    """More passes and pipelines inside a `with` block, for tests and notebooks."""
    old_passes, old_pipelines = dict(_extra), dict(PIPELINES)
    _extra.update({p.name: p for p in passes})
    PIPELINES.update(pipelines or {})
    try:
        yield
    finally:
        _extra.clear()
        _extra.update(old_passes)
        PIPELINES.clear()
        PIPELINES.update(old_pipelines)


_extra: dict[str, type[Pass]] = {}


@cache
def _sources() -> dict[str, Source]:
    """Our passes and those of installed distributions; raises `CompileError` if two have one name."""
    from importlib.metadata import entry_points  # slow to import, and needed only when a name is looked up

    sources = {name: Source(target, "cnn2snn-ir") for name, target in PASSES.items()}
    for point in entry_points(group=GROUP):
        source = Source(point.value, point.dist.name if point.dist else "an unknown distribution")
        if point.name in sources:
            raise fail(
                "PASS-DUPLICATE",
                "two distributions have a pass of this name",
                where=point.name,
                found=" and ".join(f"{s.target} of {s.distribution}" for s in (sources[point.name], source)),
                help="uninstall one of them",
            )
        sources[point.name] = source
    return sources


def _load(name: str, source: Source) -> type[Pass]:
    from cnn2snn_ir.passes.base import Pass  # it needs numpy, the names of passes do not

    module, _, attribute = source.target.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise fail(
            "PASS-LOAD", "the pass cannot be loaded", where=f"{name} ({source.distribution})", found=str(error)
        ) from error
    if not (isinstance(found, type) and issubclass(found, Pass) and getattr(found, "name", "") == name):
        raise fail(
            "PASS-LOAD", "this is not the pass it is registered as", where=f"{name} ({source.distribution})",
            found=source.target,
        )  # fmt: skip
    return found

"""Make the QuantizeML ONNX test models, and what they compute.

usage: python make_onnx.py OUTDIR [--only NAME ...] [--seed WORD]

Needs an environment with `quantizeml` (see README.md beside this file).  For every entry of `TABLE` two files appear in
OUTDIR: NAME.onnx, the quantized model as QuantizeML saves it but with sorted functions that are all called, and
NAME.npz, the integers of every tensor on a few samples, by `onnx_reference.py` (`dump_keras.py` describes the format;
maps are turned to NHWC, as programs have them).  Wherever float32 is exact, onnxruntime computes the same, or this
script fails.  functions.onnx holds one function for every operator name, as QuantizeML writes them.

NAME says NETWORK_INPUT: `u8` is a float input in 0..1 quantized to uint8, `zp` one with a zero point, `s8` one
quantized to int8; `pt` means per-tensor activations, `out8` an output of 8 bits.
"""

from __future__ import annotations

import argparse
import os
import random
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import onnx
import onnxruntime
from dump_keras import Array, Dump, _narrow, write
from onnx import helper
from onnx_networks import NETWORKS
from onnx_reference import Reference
from onnxruntime_extensions import get_library_path
from quantizeml.models import QuantizationParams, quantize

CALIBRATION_SAMPLES, CALIBRATION_BATCH = 32, 8
EXACT = 1 << 24
"""Products of sums and scales below it are exact in float32, so that onnxruntime's integers are right."""


@dataclass(frozen=True)
class Entry:
    """One fixture: a network, its samples, and how it is quantized."""

    name: str

    @property
    def network(self) -> str:
        """The name without the words that say how it is quantized."""
        return next(n for n in sorted(NETWORKS, key=len, reverse=True) if self.name.startswith(f"{n}_"))

    def says(self, word: str) -> bool:
        """True if the name has this word."""
        return word in self.name.removeprefix(self.network).split("_")


TABLE = tuple(
    map(
        Entry,
        (
            "cnn_u8",
            "cnn_zp",
            "cnn_u8_out8",
            "cnn_zp_pt",
            "residual_zp",
            "residual_zp_pt",
            "tables_s8",
            "tables_s8_pt",
            "prelu_u8",
            "unet_u8",
            "unet_u8_pt",
            "pools_u8",
            "floored_u8",
            "strided_zp",
            "mlp_s8",
            "vectors_s8",
            "flattened_zp",
            "summed_u8",
            "channels_last_u8",
            "maps_u8",
            "two_outputs_zp",
            "stream_s8",
        ),
    )
)
STREAM = "stream"
"""The network that remembers; it is recorded call by call."""

SAMPLES, CALLS, STREAMS = 3, 6, 2


def samples(entry: Entry, count: int, rng: np.random.Generator) -> Array:
    """Float samples in the layout of the file."""
    shape = (count, *NETWORKS[entry.network][1])
    values = rng.random(shape) if entry.says("u8") else rng.normal(0.3, 0.8, shape)
    return values.astype(np.float32)


def made(entry: Entry, word: str) -> onnx.ModelProto:
    """The quantized model."""
    seed = zlib.crc32(f"{entry.name} {word}".encode())
    random.seed(seed)
    uuid.uuid4 = lambda: uuid.UUID(int=random.getrandbits(128), version=4)  # type: ignore[assignment]
    rng = np.random.default_rng(seed)
    options: dict[str, Any] = {"input_dtype": "int8" if entry.says("s8") else "uint8"}
    options |= {"per_tensor_activations": entry.says("pt")}
    options |= {"last_output_bits": 8} if entry.says("out8") else {}
    model = quantize(
        NETWORKS[entry.network][0](seed),
        qparams=QuantizationParams(**options),
        samples=samples(entry, CALIBRATION_SAMPLES, rng),
        batch_size=CALIBRATION_BATCH,
    )
    keep_used_functions(model)
    sort_attributes(model)
    return model


def keep_used_functions(model: onnx.ModelProto) -> None:
    """QuantizeML writes every function that the process has met; which those are depends on what ran before."""
    used, names = set(), {n.op_type for n in model.graph.node}
    while names - used:
        used |= names
        names = {n.op_type for f in model.functions if f.name in used for n in f.node}
    kept = sorted((f for f in model.functions if f.name in used), key=lambda f: f.name)
    del model.functions[:]
    model.functions.extend(kept)


def sort_attributes(model: onnx.ModelProto) -> None:
    """QuantizeML writes them in the order of a set, which is another one in every process."""
    for function in model.functions:
        function.attribute.sort()
    for node in model.graph.node:
        node.attribute.sort(key=lambda a: a.name)


class Runtime:
    """onnxruntime, with every tensor that QuantizeML's operators give as an output."""

    def __init__(self, model: onnx.ModelProto) -> None:
        import quantizeml.onnx_support  # noqa: F401  registers the FIFO's operator

        model = onnx.ModelProto.FromString(model.SerializeToString())
        names = {name for n in model.graph.node if n.domain == "com.brainchip" for name in n.output}
        present = {o.name for o in model.graph.output}
        model.graph.output.extend(v for v in model.graph.value_info if v.name in names - present)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        options.register_custom_ops_library(get_library_path())
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])

    def run(self, x: Array) -> dict[str, Array]:
        names = [o.name for o in self.session.get_outputs()]
        return dict(zip(names, self.session.run(None, {"input": x}), strict=True))


def check(model: onnx.ModelProto, reference: Reference, values: dict[str, Array], computed: dict[str, Array]) -> int:
    """Compare with onnxruntime where that is exact; returns how many tensors were."""
    count = 0
    for node in model.graph.node:
        if node.domain != "com.brainchip" or reference.largest.get(node.name, 0) >= EXACT:
            continue
        for name in node.output:
            if not np.array_equal(values[name], computed[name]):
                raise AssertionError(f"{name}: the reference is not what onnxruntime computes")
            count += 1
    return count


def record(model: onnx.ModelProto, calls: list[Array], stream: bool) -> Dump:
    """The integers of every tensor, call by call."""
    reference, runtime = Reference(model), Runtime(model)
    dumps: list[dict[str, Array]] = []
    checked = 0
    for x in calls:
        computed = runtime.run(x)
        values = reference.run(x)
        checked += check(model, reference, values, computed)
        integers = {
            f"{n}|v": channels_last(_narrow(v)) for n, v in values.items() if v.dtype.kind == "i" or v.dtype == np.uint8
        }
        output = computed[model.graph.output[0].name]
        dumps.append({"x": samples_last(model, x), **integers, "__output__": channels_last(output)})
    print(f"  {checked} tensors equal onnxruntime's")
    joined = {key: np.stack([d[key] for d in dumps]) if stream else dumps[0][key] for key in dumps[0]}
    return joined | ({"__steps__": np.array(len(calls), np.int32)} if stream else {})


def samples_last(model: onnx.ModelProto, x: Array) -> Array:
    """Samples as a program reads them."""
    (perm,) = (helper.get_attribute_value(a) for a in model.graph.node[0].attribute if a.name == "perm")
    return x if list(perm) == [0, 3, 1, 2] else channels_last(x)


def channels_last(array: Array) -> Array:
    """NCHW ▶ NHWC; vectors as they are."""
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)) if array.ndim == 4 else array


def all_functions() -> onnx.ModelProto:
    """A file with one function for every operator name."""
    from quantizeml.onnx_support.layers import buffer_temp_conv
    from quantizeml.onnx_support.layers.base_layer import OnnxLayer
    from quantizeml.onnx_support.layers.register import infer_function_parameters

    functions = [buffer_temp_conv.btc_function, buffer_temp_conv.dwbtc_function]
    classes = {layer.__name__: layer for layer in subclasses(OnnxLayer)}
    for name in sorted(operator_names()):
        plain = name.replace("InputConv", "Conv")  # both are of one class
        base = max((b for b in classes if plain.startswith(b)), key=len)
        nodes = classes[base].build_subgraph(name)
        inputs, outputs, attributes = infer_function_parameters(nodes)
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.brainchip", 1)]
        functions.append(
            helper.make_function("com.brainchip", name, inputs, outputs, nodes, opsets, sorted(attributes))
        )
    ends = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["N", 4]) for n in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"], "relu")], "functions", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.brainchip", 1)]
    model = helper.make_model(graph, functions=functions, opset_imports=opsets, ir_version=11)
    sort_attributes(model)
    return model


def subclasses(kind: type) -> Iterator[type]:
    """All classes below one."""
    for below in kind.__subclasses__():
        yield below
        yield from subclasses(below)


def operator_names() -> set[str]:
    """Every name that the grammar of QuantizeML's layers gives."""
    conv = [f"{b}{p}{a}Scaled" for b in ("", "Biased") for p in ("", "MaxPool", "GlobalAvgPool") for a in ACTIVATIONS]
    up = [f"{b}{a}Scaled" for b in ("", "Biased") for a in ACTIVATIONS]
    dense = [f"{b}{a}{s}" for b in ("", "Biased") for a in ACTIVATIONS[:3] for s in ("", "Scaled")]
    time = [f"{b}{a}Scaled" for b in ("", "Biased") for a in ACTIVATIONS[:3]]
    suffixes = {
        "InputQuantizer": [""],
        "Dequantizer": ["", "2", "3"],
        "QuantizedInputConv2D": [s for s in conv if s.startswith("Biased")],
        "QuantizedConv2D": conv,
        "QuantizedDepthwise2D": conv,
        "QuantizedConv2DTranspose": up,
        "QuantizedDepthwise2DTranspose": up,
        "QuantizedDense1D": [f"{f}{d}" for f in ("", "Flatten") for d in dense],
        "QuantizedAdd": ["", "Scaled"],
        "QuantizedConcat": [""],
        "QuantizedBufferTempConv": time,
        "QuantizedDepthwiseBufferTempConv": [s for s in time if s.startswith("Biased")],
    }
    return {base + suffix for base, legal in suffixes.items() for suffix in legal}


ACTIVATIONS = ("", "ReLU", "ReLUClipped", "LUT")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("outdir", type=Path)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--seed", default="")
    arguments = parser.parse_args()
    arguments.outdir.mkdir(parents=True, exist_ok=True)
    if not arguments.only:
        onnx.save(all_functions(), arguments.outdir / "functions.onnx")
    for entry in TABLE:
        if arguments.only and entry.name not in arguments.only:
            continue
        print(entry.name, flush=True)
        model = made(entry, arguments.seed)
        onnx.save(model, arguments.outdir / f"{entry.name}.onnx")
        rng = np.random.default_rng(zlib.crc32(f"samples of {entry.name} {arguments.seed}".encode()))
        stream = entry.network == STREAM
        calls = [samples(entry, STREAMS if stream else SAMPLES, rng) for _ in range(CALLS if stream else 1)]
        write(arguments.outdir / f"{entry.name}.npz", record(model, calls, stream))


if __name__ == "__main__":
    main()

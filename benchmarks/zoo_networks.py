"""The networks of BrainChip's model zoo and of its hardware benchmarks, as one table: shapes and bits, no weights.

Restated from the public descriptions (Apache-2.0): the model builders of `akida_models` and those of
`Brainchip-Inc/brainchip_devhub`.  Where the newest builder differs from the one that the published model was made with,
the number of parameters on the zoo's page decides, and a comment says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from cnn2snn_ir.dialects.geometry import Padding
from cnn2snn_ir.dialects.hardware import Pool


class Kind(StrEnum):
    """What a layer is; of the first, a convolution, that of the input engine."""

    CONV = "conv"
    SEPARABLE = "separable"
    DENSE = "dense"


@dataclass(frozen=True)
class LayerSpec:
    """A layer with its pooling and its activation; the last of a network has none."""

    kind: Kind
    filters: int
    kernel: int = 3
    stride: int = 1
    pool: Pool = Pool.NONE
    """Maximum of 2x2, or the average of the whole map."""
    padding: Padding = Padding.SAME
    """Of the window and of the pooling."""
    weight_bits: int | None = None
    """Where they differ from the network's."""
    activation_bits: int | None = None


@dataclass(frozen=True)
class NetworkSpec:
    """An input of bytes and the layers behind it."""

    shape: tuple[int, int, int]
    """Height, width, channels."""
    layers: tuple[LayerSpec, ...]
    bits: tuple[int, int, int] = (8, 4, 4)
    """Weights of the first layer, weights of the others, activations, on Akida 1."""

    def weight_bits(self, index: int) -> int:
        """Bits of the weights of a layer."""
        own = self.layers[index].weight_bits
        return own if own is not None else self.bits[min(index, 1)]

    def activation_bits(self, index: int) -> int:
        """Bits of what a layer gives."""
        own = self.layers[index].activation_bits
        return own if own is not None else self.bits[2]


conv = partial(LayerSpec, Kind.CONV)
separable = partial(LayerSpec, Kind.SEPARABLE)
dense = partial(LayerSpec, Kind.DENSE, kernel=1)

MAX, AVERAGE = Pool.MAX, Pool.AVERAGE

# ---- MobileNetV1 and AkidaNet -----------------------------------------------------------------------------------

WIDTHS = (
    *((32, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *[(512, 1)] * 5,
    *((1024, 2), (1024, 1)),
)
"""Filters and stride of each layer at alpha 1 (Howard et al. 2017, table 1, halves of a separable layer joined)."""


def backbone(alpha: float, plain: int, pool: Pool = AVERAGE) -> tuple[LayerSpec, ...]:
    """The layers in front of the classifier, of which the first `plain` are full convolutions."""
    kinds = [Kind.CONV] * plain + [Kind.SEPARABLE] * (len(WIDTHS) - plain)
    layers = [LayerSpec(kind, int(n * alpha), 3, stride) for kind, (n, stride) in zip(kinds, WIDTHS, strict=True)]
    last = layers.pop()
    return (*layers, LayerSpec(last.kind, last.filters, 3, 1, pool))


def akidanet(alpha: float, shape: tuple[int, int], *head: LayerSpec, pool: Pool = AVERAGE) -> NetworkSpec:
    """AkidaNet: MobileNetV1 whose first four layers are full convolutions."""
    return NetworkSpec((*shape, 3), (*backbone(alpha, 4, pool), *head))


def mobilenet(alpha: float, shape: tuple[int, int], *head: LayerSpec) -> NetworkSpec:
    """MobileNetV1."""
    return NetworkSpec((*shape, 3), (*backbone(alpha, 1), *head))


IMAGES = {
    f"{family.__name__}_{alpha}_{size}": family(alpha, (size, size), dense(1000))
    for family in (akidanet, mobilenet)
    for size in (160, 224)
    for alpha in (0.25, 0.5, 1.0)
}
"""The twelve ImageNet classifiers."""

FACES = (112, 96)
IDENTITIES = 10575


def edge(shape: tuple[int, int], classes: int) -> NetworkSpec:
    """For learning on the chip: the average map is made binary, 2048 wide, and classified by binary weights.

    The separable layer reads a map of 1x1; it is 3x3 because the chip has no other.
    """
    return akidanet(0.5, shape, separable(2048, activation_bits=1), dense(classes, weight_bits=1))


def yolo(classes: int) -> NetworkSpec:
    """YOLOv2 on AkidaNet 0.5: three layers, and for each of 5 boxes a place, a confidence and the classes."""
    head = [separable(1024)] * 3
    return akidanet(0.5, (224, 224), *head, separable(5 * (5 + classes)), pool=Pool.NONE)


def ds_cnn(head: LayerSpec, last_bits: int = 4) -> NetworkSpec:
    """Keyword spotting on 49 frames of 10 features (Zhang et al. 2017, `Hello Edge`; 5x5 kernel at the input)."""
    last = separable(64, pool=AVERAGE, activation_bits=last_bits)
    return NetworkSpec((49, 10, 1), (conv(64, 5, 2), *[separable(64)] * 3, last, head))


def points(*behind: LayerSpec) -> NetworkSpec:
    """PointNet++ on 64 groups of 32 neighbours, laid out as a map of 8x256."""
    first = (conv(32), conv(32, 1, pool=MAX), conv(64, 1), conv(64, 1, pool=MAX), conv(128, 1), conv(128, 1, pool=MAX))
    return NetworkSpec((8, 256, 3), (*first, conv(256, 1), *behind))


# ---- the tables -------------------------------------------------------------------------------------------------

SHARED = IMAGES | {
    "plant_village": akidanet(0.5, (224, 224), dense(512), dense(38)),
    "vww": akidanet(0.25, (96, 96), dense(2)),
    "yolo_widerface": yolo(1),
    "yolo_voc_20": yolo(20),
    # The page's 2.3 million parameters leave 1.42 million behind the average: 512 x 128 + 128 x 10575.
    "face_id": akidanet(0.5, FACES, dense(128), dense(IDENTITIES)),
    "kws_12": ds_cnn(dense(12)),
    "kws_33": ds_cnn(dense(33)),
}
"""Of both generations; Akida 2 has the halves of a separable layer apart."""

AKIDA1 = SHARED | {
    "akidanet_edge_160": edge((160, 160), 1000),
    "akidanet_edge_224": edge((224, 224), 1000),
    # 23.6 million parameters: the binary layer reads the average itself, without the 128 values in between.
    "face_id_edge": edge(FACES, IDENTITIES),
    "yolo_voc_2": yolo(2),
    # Its training configuration asks for a 1x1 convolution instead of a dense layer, which NPs can share.
    "kws_12": ds_cnn(conv(12, 1)),
    "kws_33": ds_cnn(dense(33), last_bits=1),  # its file is called `laq1`, after the last activations
    # 1.6 million parameters: the builder up to akida_models 1.2, which flattens 7x7x64.
    "gxnor": NetworkSpec((28, 28, 1), (conv(32, 5, pool=MAX), conv(64, 3, 2), dense(512), dense(10)), (2, 2, 1)),
    # 458 thousand parameters: the builder up to akida_models 1.2, which flattens 8x8x84.
    "vgg_utk_face": NetworkSpec(
        (32, 32, 3),
        (
            *(conv(32, padding=Padding.VALID), conv(32, pool=MAX), conv(64), conv(64, pool=MAX), conv(84)),
            *(dense(64), dense(1)),
        ),
        (8, 2, 2),
    ),
    # 602 thousand parameters: the builder of akida_models 1.3 to 1.6, which ends in three dense layers.
    "pointnet": points(conv(512, 1, pool=AVERAGE), dense(512), dense(256), dense(40)),
    "arrhythmia": NetworkSpec(
        (36, 32, 1),
        (
            *(conv(16, 5), separable(32, 5, pool=MAX), separable(64, 5, pool=MAX), separable(128, 5, pool=AVERAGE)),
            *(dense(64), dense(3)),
        ),
    ),
    "uored": NetworkSpec(
        (300, 140, 1),
        (
            conv(16, 7, pool=MAX, padding=Padding.VALID),
            *(conv(n, pool=MAX) for n in (32, 64, 64, 64, 96)),
            *(conv(128, pool=AVERAGE), dense(512), dense(4)),
        ),
    ),
}
"""Akida 1: the 24 rows of the zoo's page and four more that were measured."""

AKIDA2 = SHARED | {
    "mobilenet_plant_village": mobilenet(0.5, (224, 224), dense(512), dense(38)),
    "mobilenet_vww": mobilenet(0.25, (96, 96), dense(2)),
    # 277 thousand parameters: the newest builder.
    "pointnet": points(conv(512, 1), conv(128, 1), conv(64, 1, pool=AVERAGE), dense(40)),
}
"""Akida 2: the rows of the zoo's page without additions or transposed layers, and what ran on the FPGA."""

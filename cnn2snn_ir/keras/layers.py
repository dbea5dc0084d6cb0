"""Quantized layers: those of Keras, computing with quantized weights while training the float ones.

Arguments are those of the Keras layer, with `quantizer` third, but for those that Akida has no use for: these are
refused, and keep their defaults.  Source: the layers of cnn2snn 2.19.3 (Apache-2.0), restated; but for the bias of
QuantizedDepthwiseConv2D, which is ignored there and is added here.
"""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import ops

from cnn2snn_ir.diagnostics import Diagnostic
from cnn2snn_ir.keras.errors import QuantizationError, refuse
from cnn2snn_ir.keras.keras2 import without_leftovers
from cnn2snn_ir.keras.quantizers import WeightQuantizer, get

Pair = int | tuple[int, int]


class QuantizedLayer:
    """What the quantized layers add to those of Keras, which they also inherit from."""

    fixed: ClassVar[dict[str, Any]]
    """Arguments of the Keras layer that are not offered ▶ their values."""

    quantizers: ClassVar[tuple[str, ...]] = ("quantizer",)
    """Attributes that hold quantizers."""

    name: str
    use_bias: bool
    bias: Any

    @classmethod
    def accept(cls, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments for the Keras layer; raises `QuantizationError` if some are not offered."""
        strange = [name for name in kwargs if name in cls.fixed]
        if strange:
            raise QuantizationError(
                Diagnostic(
                    "QUANT-ARGUMENT",
                    f"{cls.__name__} does not have the argument {name}",
                    where=str(kwargs.get("name") or cls.__name__),
                    found=f"{name} = {kwargs[name]!r}",
                    allowed=f"no such argument: it is always {cls.fixed[name]!r}",
                    help="put the activation into a layer of its own" if name == "activation" else "",
                )
                for name in strange
            )
        return {**kwargs, **cls.fixed}

    def with_bias(self, outputs: Any) -> Any:
        """The outputs plus the bias, if the layer has one."""
        return outputs + self.bias if self.use_bias else outputs

    def get_config(self) -> dict[str, Any]:
        """The configuration of the Keras layer, without what is not offered, with the quantizers."""
        config: dict[str, Any] = super().get_config()  # type: ignore[misc]
        own = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self.quantizers}
        return {name: value for name, value in config.items() if name not in self.fixed} | own


class QuantizedConv2D(QuantizedLayer, keras.layers.Conv2D):
    """A convolution with quantized weights, on maps in the order [batch, height, width, channels]."""

    fixed = {"data_format": "channels_last", "activation": None, "groups": 1}

    def __init__(
        self,
        filters: int,
        kernel_size: Pair,
        quantizer: WeightQuantizer | dict[str, Any],
        strides: Pair = (1, 1),
        padding: str = "valid",
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters, kernel_size, strides=strides, padding=padding, use_bias=use_bias, **self.accept(kwargs)
        )
        self.quantizer = get(quantizer)

    def call(self, inputs: Any) -> Any:
        """The convolution with the quantized kernel, and the bias."""
        kernel = self.quantizer.quantize(self.kernel)
        return self.with_bias(
            ops.conv(
                inputs,
                kernel,
                strides=self.strides,
                padding=self.padding,
                data_format=self.data_format,
                dilation_rate=self.dilation_rate,
            )
        )


class QuantizedDepthwiseConv2D(QuantizedLayer, keras.layers.DepthwiseConv2D):
    """A convolution of each channel with its own quantized filter."""

    fixed = {"data_format": "channels_last", "activation": None, "depth_multiplier": 1}

    def __init__(
        self,
        kernel_size: Pair,
        quantizer: WeightQuantizer | dict[str, Any],
        strides: Pair = (1, 1),
        padding: str = "valid",
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(kernel_size, strides=strides, padding=padding, use_bias=use_bias, **self.accept(kwargs))
        self.quantizer = get(quantizer)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A layer from its configuration, by whichever generation of Keras it was written."""
        return super().from_config(without_leftovers(config))

    def call(self, inputs: Any) -> Any:
        """The convolution with the quantized kernel, and the bias."""
        kernel = self.quantizer.quantize(self.kernel)
        return self.with_bias(
            ops.depthwise_conv(
                inputs,
                kernel,
                strides=self.strides,
                padding=self.padding,
                data_format=self.data_format,
                dilation_rate=self.dilation_rate,
            )
        )


class QuantizedSeparableConv2D(QuantizedLayer, keras.layers.SeparableConv2D):
    """A depthwise and a pointwise convolution, each with its own quantizer.

    Without `quantizer_dw` the depthwise kernel gets a copy of `quantizer`, as in files that have only one.
    """

    fixed = {"data_format": "channels_last", "activation": None, "depth_multiplier": 1}
    quantizers = ("quantizer", "quantizer_dw")

    def __init__(
        self,
        filters: int,
        kernel_size: Pair,
        quantizer: WeightQuantizer | dict[str, Any],
        quantizer_dw: WeightQuantizer | dict[str, Any] | None = None,
        strides: Pair = (1, 1),
        padding: str = "valid",
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters, kernel_size, strides=strides, padding=padding, use_bias=use_bias, **self.accept(kwargs)
        )
        self.quantizer = get(quantizer)
        self.quantizer_dw = copy_of(self.quantizer) if quantizer_dw is None else get(quantizer_dw)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A layer from its configuration, by whichever generation of Keras it was written."""
        return super().from_config(without_leftovers(config))

    def call(self, inputs: Any) -> Any:
        """The two convolutions with their quantized kernels, and the bias."""
        return self.with_bias(
            ops.separable_conv(
                inputs,
                self.quantizer_dw.quantize(self.depthwise_kernel),
                self.quantizer.quantize(self.pointwise_kernel),
                strides=self.strides,
                padding=self.padding,
                data_format=self.data_format,
                dilation_rate=self.dilation_rate,
            )
        )


class QuantizedDense(QuantizedLayer, keras.layers.Dense):
    """A fully connected layer with quantized weights; its inputs are dense tensors."""

    fixed = {"activation": None}

    def __init__(
        self, units: int, quantizer: WeightQuantizer | dict[str, Any], use_bias: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(units, use_bias=use_bias, **self.accept(kwargs))
        self.quantizer = get(quantizer)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """`call`, after a look at the kind of tensor: symbolic ones are not passed on to it."""
        if kind := kind_if_not_dense(inputs):
            raise refuse("QUANT-INPUT", "the inputs must be a dense tensor", where=self.name, found=f"a {kind} tensor")
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Any) -> Any:
        """The product with the quantized kernel, and the bias."""
        return self.with_bias(ops.matmul(inputs, self.quantizer.quantize(self.kernel)))


def copy_of(quantizer: WeightQuantizer) -> WeightQuantizer:
    """An equal quantizer with variables of its own, and a name of its own."""
    config = quantizer.get_config()
    config["name"] += "_dw"
    return type(quantizer).from_config(config)  # type: ignore[no-any-return]


def kind_if_not_dense(tensor: Any) -> str:
    """`sparse` or `ragged`, if a tensor of TensorFlow, or a symbolic one of Keras, is that; else nothing."""
    if getattr(tensor, "sparse", False) or hasattr(tensor, "dense_shape"):
        return "sparse"
    return "ragged" if getattr(tensor, "ragged", False) or hasattr(tensor, "row_splits") else ""


CLASSES: dict[str, type[Any]] = {
    layer.__name__: layer
    for layer in (QuantizedConv2D, QuantizedDepthwiseConv2D, QuantizedSeparableConv2D, QuantizedDense)
}
"""Class name in model files ▶ the class."""

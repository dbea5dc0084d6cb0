"""`nn`: float ops, on float32 tensors.  So far: the float tail that a host computes after the last integer."""

from __future__ import annotations

from enum import StrEnum

from cnn2snn_ir.dialects.qnn import reshaped
from cnn2snn_ir.ir import Op, Tensor, TensorType, Value, attr, constant, operand


class Function(StrEnum):
    """Elementwise float functions."""

    LINEAR = "linear"
    SIGMOID = "sigmoid"
    TANH = "tanh"


class Softmax(Op, name="nn.softmax"):
    """`exp(x - max) / sum(exp(x - max))` along one dimension."""

    x: Value = operand("Float tensor.")
    axis: int = attr("The dimension; 0 is the batch.", minimum=1)

    def infer(self) -> tuple[TensorType, ...]:
        if self.axis >= self.x.type.rank:
            raise ValueError(f"needs an axis below {self.x.type.rank}, found {self.axis}")
        return (self.x.type,)


class Activation(Op, name="nn.activation"):
    """An elementwise function."""

    x: Value = operand("Float tensor.")
    function: Function = attr("Which function.")

    def infer(self) -> tuple[TensorType, ...]:
        return (self.x.type,)


class ReLU(Op, name="nn.relu"):
    """`max(x, 0)`, at most `max_value` if there is one."""

    x: Value = operand("Float tensor.")
    max_value: float | None = attr("Upper bound.", default=None)

    def infer(self) -> tuple[TensorType, ...]:
        return (self.x.type,)


class Dense(Op, name="nn.dense"):
    """`x @ weights + bias` over the last dimension."""

    x: Value = operand("Float tensor.")
    weights: Tensor = constant("Matrix [in, out].")
    bias: Tensor | None = attr("One a column.", default=None)

    def infer(self) -> tuple[TensorType, ...]:
        if self.weights.type.rank != 2 or self.x.type.channels != self.weights.type.shape[0]:
            raise ValueError(f"cannot multiply {self.x.type} by {self.weights.type}")
        return (TensorType((*self.x.type.shape[:-1], self.weights.type.shape[1]), self.x.type.element),)


class Reshape(Op, name="nn.reshape"):
    """The same values in another shape, row-major; the batch stays first."""

    x: Value = operand("Float tensor.")
    shape: tuple[int, ...] = attr("Shape of one sample.", minimum=1)

    def infer(self) -> tuple[TensorType, ...]:
        return (reshaped(self.x.type, self.shape),)

"""Layers that Keras 3 cannot read as Keras 2 wrote them.

Keras 2 made depthwise and separable convolutions out of Conv2D, and wrote some arguments of that into their
configurations, where they have no effect; Keras 3 does not know them there.
"""

from __future__ import annotations

from typing import Any

import keras

LEFTOVERS = ("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint")
"""The arguments without effect."""


def without_leftovers(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without the arguments that have no effect; groups other than 1 would have one."""
    return {name: value for name, value in config.items() if name not in LEFTOVERS or (name == "groups" and value != 1)}


class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """Stands for the layer of Keras 3 while a file is read."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The layer of Keras 3."""
        return keras.layers.DepthwiseConv2D.from_config(without_leftovers(config))


class SeparableConv2D(keras.layers.SeparableConv2D):
    """Stands for the layer of Keras 3 while a file is read."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The layer of Keras 3."""
        return keras.layers.SeparableConv2D.from_config(without_leftovers(config))


READERS: dict[str, type[Any]] = {"DepthwiseConv2D": DepthwiseConv2D, "SeparableConv2D": SeparableConv2D}
"""Class name ▶ what reads its configuration."""

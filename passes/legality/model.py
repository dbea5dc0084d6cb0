"""The rules on a model as a whole, which both generations have."""

from __future__ import annotations

from cnn2snn_ir.dialects import builtin, ops_of
from cnn2snn_ir.passes.legality.akida2_predicates import float_before_integers, input_rank, output_count
from cnn2snn_ir.passes.legality.rule import CONVERTER, Rule

FLOAT_OPS = tuple(ops_of("nn").values())


def model_rules(generation: str) -> tuple[Rule, ...]:
    """The rules, with the codes of a generation."""
    return (
        Rule(
            f"{generation}-MODEL-01",
            "a model has one input and one output",
            "1 and 1",
            "split the model",
            CONVERTER,
            (builtin.Module,),
            output_count,
        ),
        Rule(
            f"{generation}-MODEL-02",
            "the model input is a vector or an image",
            "samples of 1 or 3 dimensions",
            "reshape the input in front of the model",
            CONVERTER,
            (builtin.Input,),
            input_rank,
        ),
        Rule(
            f"{generation}-MODEL-03",
            "float layers stand behind the last integer layer",
            "a head such as softmax",
            "quantize the layer, or end the model before it",
            CONVERTER,
            FLOAT_OPS,
            float_before_integers,
        ),
    )

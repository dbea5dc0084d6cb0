from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnn2snn_ir import reference
from cnn2snn_ir.analysis.ranges import value_ranges


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_every_value_lies_in_its_proven_range(modules, inputs, data):
    module = data.draw(modules)
    ranges = value_ranges(module)

    def observe(op, array):
        value = op.results[0]
        if value.type.element.is_float:
            assert value not in ranges
        else:
            assert ranges[value].contains(array), value
            assert ranges[value].within(value.type.element)

    reference.run(module, inputs(module, 8), observe)

"""The made-up simulations that pictures are tested with are what a real one promises to be."""

import pytest
from generators import simulations


@pytest.fixture(scope="module", params=simulations.MADE_UP)
def simulation(request):
    return simulations.MADE_UP[request.param]()


def test_parts_sum_up(simulation):
    for layer in simulation.layers:
        slowest = max(part.clocks for part in layer.parts)
        assert layer.clocks.events + layer.clocks.scan + layer.clocks.noc == pytest.approx(slowest)
        assert all(part.rows[0] < part.rows[1] and part.filters[0] < part.filters[1] for part in layer.parts)
        assert 0 < layer.density <= 1
        assert 0 < layer.utilization <= 1 + 1e-12
        assert sum(layer.density_histogram) > 0
    for sequence in simulation.sequences:
        for one in sequence.passes:
            inside = [layer for layer in simulation.layers if layer.name in one.layers]
            assert one.clocks == pytest.approx(sum(layer.clocks.total for layer in inside))
            units = [part.unit for layer in inside for part in layer.parts if layer.unit != "DMA"]
            assert len(units) == len(set(units))
            assert max(units) < simulation.device.nodes * simulation.device.nps_per_node


def test_timeline_is_the_batch(simulation):
    assert max(s.end for s in simulation.timeline) == simulation.batch_clocks
    assert all(0 <= s.start < s.end for s in simulation.timeline)
    for layer in simulation.layers:
        for part in layer.parts:
            unit = simulations.unit_of(layer, part)
            mine = [s for s in simulation.timeline if (s.layer, s.unit, s.kind) == (layer.name, unit, "compute")]
            assert [s.frame for s in mine] == list(range(simulation.batch))
            assert all(s.end - s.start == pytest.approx(part.clocks) for s in mine)


def test_sizes_are_those_of_the_networks():
    kws, akidanet, large = simulations.kws(), simulations.akidanet(), simulations.large()
    assert (len(kws.layers), kws.nps + kws.input_engine) == (6, 31)
    assert (len(akidanet.layers), akidanet.passes, akidanet.assigned_nps) == (15, 5, 129)
    assert (len(large.layers), large.passes, large.device.nodes * large.device.nps_per_node) == (60, 8, 80)
    assert simulations.branches().total_mj is None

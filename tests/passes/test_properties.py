"""Properties of every pass on random networks: results stay, IR stays valid, and its text reads back."""

import pytest
from generators.networks import networks
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.passes.default_pipelines import LEGALIZATIONS
from cnn2snn_ir.passes.instruments import CheckChanged, PassFaultError, ValidateEach, VerifyEach, VerifyRoundTrip
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import parse_pipeline
from cnn2snn_ir.text import print_module

LEGALIZE = tuple(p.name for p in LEGALIZATIONS)
STEPS = (
    *LEGALIZE,
    "akida2-legalize",
    "canonicalize",
    "fold-scales",
    "fold-thresholds",
    "fold-thresholds{max-bits=8}",
    "materialize-alignment",
    "fuse-blocks",
    "infer-bitwidths",
    "qnn.block(canonicalize)",
    "qnn.block(fold-scales)",
    "qnn.block(fold-thresholds)",
)
IDEMPOTENT = (
    *LEGALIZE,
    "akida2-legalize",
    "canonicalize",
    "fold-scales",
    "fold-thresholds",
    "materialize-alignment",
    "fuse-blocks",
    "infer-bitwidths",
)

few = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(few, max_examples=200)


def run(pipeline, module):
    checks = [ValidateEach(1), CheckChanged(), VerifyRoundTrip(), VerifyEach()]
    return PassManager(parse_pipeline(pipeline), checks).run(module)


def any_order_keeps_the_results(module, steps):
    run(", ".join(steps), module)


def twice_is_once(module, name):
    run(name, module)
    text = print_module(module, generic=True)
    assert run(name, module) is False
    assert print_module(module, generic=True) == text


def compiles_or_is_refused(module):
    """The default pipeline keeps the results, or says which rules of the target the network breaks."""
    try:
        run("akida2-default", module)
    except PassFaultError:
        raise
    except CompileError as error:
        codes = {d.code for d in error.diagnostics}
    else:
        codes = set()
    event(f"refused: {codes}" if codes else "compiled")
    assert all(code.startswith("AK2-") for code in codes)
    assert codes or {op.op_name.partition(".")[0] for op in module.walk()} <= {"builtin", "akida2", "nn"}


any_steps = st.lists(st.sampled_from(STEPS), min_size=1, max_size=5)

test_any_order_keeps_the_results = few(given(networks(), any_steps)(any_order_keeps_the_results))
test_twice_is_once = few(given(networks(), st.sampled_from(IDEMPOTENT))(twice_is_once))
test_compiles_or_is_refused = few(given(networks())(compiles_or_is_refused))

test_any_order_many = pytest.mark.slow(many(given(networks(), any_steps)(any_order_keeps_the_results)))
test_twice_many = pytest.mark.slow(many(given(networks(), st.sampled_from(IDEMPOTENT))(twice_is_once)))
test_compiles_many = pytest.mark.slow(many(given(networks())(compiles_or_is_refused)))

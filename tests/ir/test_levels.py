"""Levels: what is left over is listed, all of it."""

import pytest
from generators.networks import everything

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.dialects.levels import SPECIFICATIONS, Level, verify_level
from cnn2snn_ir.passes.manager import PassManager
from cnn2snn_ir.passes.pipeline import parse_pipeline


def test_every_level_has_a_specification():
    assert set(SPECIFICATIONS) == set(Level)


def test_a_module_is_at_one_level():
    module = everything()
    assert not list(verify_level(module, Level.QNN))
    left = list(verify_level(module, Level.AKIDA2))
    assert {d.code for d in left} == {"IR-LEVEL"}
    assert len(left) == sum(op.op_name.startswith("qnn.") for op in module.walk())
    PassManager(parse_pipeline("akida2-default")).run(module)
    assert not list(verify_level(module, Level.AKIDA2))
    assert list(verify_level(module, Level.QNN))


def test_a_pass_refuses_a_module_of_another_level():
    module = everything()
    PassManager(parse_pipeline("akida2-default")).run(module)
    with pytest.raises(CompileError, match="IR-LEVEL"):
        PassManager(parse_pipeline("fuse-blocks")).run(module)

"""The op tables: documented, executable, and complete."""

import pytest

from cnn2snn_ir.dialects import DIALECTS, all_ops, builtin, lookup, qnn
from cnn2snn_ir.ir import Role
from cnn2snn_ir.reference import evaluate_op
from cnn2snn_ir.reference.semantics import meaning

STRUCTURAL = {
    *("builtin.module", "builtin.input", "builtin.state", "builtin.store", "builtin.return", "qnn.block"),
    *("npu.sequence", "npu.pass", "npu.assign", "npu.skip_dma"),
}


@pytest.mark.parametrize("op", all_ops().values(), ids=list(all_ops()))
def test_ops_are_documented(op):
    assert op.__doc__
    for field in op.fields:
        assert field.doc.endswith("."), f"{op.op_name}.{field.name}"
    assert op.op_name.partition(".")[0] in DIALECTS
    assert lookup(op.op_name) is op


def test_every_executable_op_has_reference_semantics():
    assert {name for name, op in all_ops().items() if meaning(op) is None} == STRUCTURAL


def test_variadic_operands_come_last():
    for op in all_ops().values():
        roles = [f.role for f in op.fields if f.role in (Role.OPERAND, Role.OPERANDS)]
        assert Role.OPERANDS not in roles[:-1]


def test_structural_ops_do_not_execute():
    with pytest.raises(Exception, match="RUN-NO-SEMANTICS"):
        evaluate_op(builtin.Return(()))
    assert lookup("qnn.nothing") is None
    assert lookup("nowhere.relu") is None
    assert lookup("qnn.relu") is qnn.ReLU

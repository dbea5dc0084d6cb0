"""The verifier: each single corruption of a good module is found, under its code; several are found at once."""

import numpy as np
import pytest

from cnn2snn_ir.dialects import akida2, builtin, qnn
from cnn2snn_ir.dialects.qnn import BlockKind
from cnn2snn_ir.ir import Graph, Tensor, TensorType, Use, Value, si, ui
from cnn2snn_ir.ir.verify import CODES, verify


def good() -> builtin.Module:
    x = builtin.Input((8, 8, 2), si(8), name="x")
    weights = Tensor.of(np.ones((3, 3, 2, 4), np.int64), si(8), "w")
    conv = qnn.Conv2D(x.result, weights, name="conv")
    relu = qnn.ReLU(conv.result, name="relu")
    inner = qnn.ReLU(relu.result, name="inner")
    block = qnn.Block(BlockKind.CONV2D, "conv", Graph([inner, builtin.Return((inner.result,))]), name="block")
    pool = qnn.MaxPool(block.result, (2, 2), (2, 2), name="pool")
    return builtin.Module("m", Graph([x, conv, relu, block, pool, builtin.Return((pool.result,))]))


def find(module, name):
    return next(op for op in module.walk() if op.results and op.results[0].name == name)


def drop_use(module):
    conv = find(module, "conv")
    del find(module, "x").results[0]._uses[Use(conv, 0)]


def ghost_use(module):
    find(module, "conv").results[0]._uses[Use(find(module, "pool"), 0)] = None


def use_before_definition(module):
    relu = find(module, "relu")
    module.body.remove(relu)
    module.body.insert_after(find(module, "x"), relu)


def use_of_inner_value(module):
    find(module, "pool").set_operand(0, find(module, "inner").results[0])


def foreign_value(module):
    find(module, "relu").set_operand(0, builtin.Input((8, 8, 4), si(28)).result)


def same_name(module):
    find(module, "relu").results[0]._name = "conv"


def extra_operand(module):
    relu = find(module, "relu")
    relu.set_operands([*relu.operands, *relu.operands])


def lost_result(module):
    find(module, "pool").results[0].replace_all_uses_with(find(module, "relu").results[0])
    find(module, "pool").results = ()


def lost_attribute(module):
    del find(module, "pool").attributes["size"]


def wrong_kind(module):
    find(module, "pool").attributes["size"] = 2


def out_of_bounds(module):
    find(module, "pool").attributes["strides"] = (0, 1)


def unknown_attribute(module):
    find(module, "relu").attributes["slope"] = 0


def wrong_type(module):
    pool = find(module, "pool")
    pool.results[0].type = TensorType((None, 4, 4, 4), si(8))


def impossible_shape(module):
    find(module, "conv").attributes["weights"] = Tensor.of(np.ones((3, 3, 5, 4), np.int64), si(8), "w")


def own_rule(module):
    find(module, "relu").attributes["max"] = Tensor.of([1, 2, 3], ui(8), "m")


def no_return(module):
    module.terminator.erase()


def early_return(module):
    module.body.insert_after(find(module, "x"), builtin.Return(()))


def owner_of_results(module):
    relu = find(module, "relu")
    relu.results[0].owner = find(module, "conv")


CORRUPTIONS = {
    drop_use: "IR-USE",
    ghost_use: "IR-USE",
    owner_of_results: "IR-USE",
    use_before_definition: "IR-ORDER",
    use_of_inner_value: "IR-ORDER",
    foreign_value: "IR-ORDER",
    same_name: "IR-NAME",
    extra_operand: "IR-ARITY",
    lost_result: "IR-ARITY",
    lost_attribute: "IR-FIELD",
    wrong_kind: "IR-FIELD",
    out_of_bounds: "IR-FIELD",
    unknown_attribute: "IR-FIELD",
    wrong_type: "IR-TYPE",
    impossible_shape: "IR-TYPE",
    own_rule: "IR-OP",
    no_return: "IR-RETURN",
    early_return: "IR-RETURN",
}


def test_a_good_module_has_no_fault():
    assert not list(verify(good()))


@pytest.mark.parametrize("corrupt", CORRUPTIONS, ids=lambda f: f.__name__)
def test_each_corruption_is_found(corrupt):
    module = good()
    corrupt(module)
    assert CORRUPTIONS[corrupt] in {d.code for d in verify(module)}


def test_every_code_has_a_corruption():
    assert set(CORRUPTIONS.values()) == set(CODES)


def test_all_faults_at_once():
    module = good()
    for corrupt in (own_rule, same_name, wrong_type, no_return):
        corrupt(module)
    assert {"IR-NAME", "IR-TYPE", "IR-OP", "IR-RETURN"} <= {d.code for d in verify(module)}


def test_a_fault_names_the_layer():
    module = good()
    wrong_type(module)
    (diagnostic,) = verify(module)
    assert diagnostic.where == "%pool (qnn.max_pool)"
    assert (diagnostic.found, diagnostic.allowed) == ("tensor<?x4x4x4xsi8>", "tensor<?x4x4x4xsi28>")


def test_akida2_variables_have_the_size_of_their_channels():
    x = builtin.Input((8, 8, 2), si(8), name="x")
    three = Tensor.of([1, 2, 3], ui(8), "t")
    conv = akida2.Conv2D(
        x.result,
        Tensor.of(np.ones((3, 3, 2, 4), np.int64), si(8), "w"),
        input_shift=three,
        bias_shift=three,
        max_value=three,
        to=si(8),
        name="c",
    )
    module = builtin.Module("m", Graph([x, conv, builtin.Return((conv.result,))]))
    assert len(verify(module).errors) == 5
    assert isinstance(conv.result, Value)


def test_values_without_a_batch_dimension():
    module = good()
    find(module, "x").results[0].type = TensorType((), si(8))
    assert [d.code for d in verify(module)] == ["IR-TYPE"]

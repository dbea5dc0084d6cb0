"""Values, uses, graphs, names: what must hold after any edit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn2snn_ir.dialects import builtin, qnn
from cnn2snn_ir.ir import UNKNOWN, Fused, Graph, Layer, NameAuthority, Tensor, TensorType, fuse, si, ui
from cnn2snn_ir.ir.rewrite import Rewriter, rewrite, rule
from cnn2snn_ir.ir.verify import verify


def chain(length: int) -> builtin.Module:
    """An input, `length` rectifiers, a return."""
    x = builtin.Input((4,), si(8), name="x")
    graph = Graph([x])
    value = x.result
    for index in range(length):
        value = graph.append(qnn.ReLU(value, name=f"r{index}")).results[0]
    graph.append(builtin.Return((value,)))
    return builtin.Module("chain", graph)


def test_missing_and_unknown_fields_are_refused():
    x = builtin.Input((4,), si(8)).result
    with pytest.raises(TypeError, match="missing attr 'shift'"):
        qnn.Shift(x, to=si(8))
    with pytest.raises(TypeError, match="no field called step"):
        qnn.ReLU(x, step=1)
    with pytest.raises(ValueError, match="must be at least 1"):
        qnn.MaxPool(x, (0, 2), (1, 1))
    with pytest.raises(ValueError, match="must be a tensor"):
        qnn.BiasAdd(x, 3, shift=3)
    with pytest.raises(TypeError, match="given twice"):
        qnn.ReLU(x, x=x)


def test_concrete_ops_are_not_subclassed():
    with pytest.raises(TypeError, match="not subclassed"):

        class Twice(qnn.ReLU, name="qnn.twice"):
            """No."""


def test_infer_says_what_is_wrong():
    x = builtin.Input((4,), si(8)).result
    with pytest.raises(ValueError, match="needs a feature map of 4 dimensions"):
        qnn.MaxPool(x, (2, 2), (2, 2))


def test_erasing_a_used_op_is_refused():
    module = chain(2)
    with pytest.raises(ValueError, match="results are used"):
        next(op for op in module.body if isinstance(op, qnn.ReLU)).erase()


def test_a_graph_counts_its_ops():
    module = chain(3)
    assert len(module.body) == len(list(module.body)) == 5
    x, first, *_ = module.body
    unused = module.body.insert_after(first, qnn.ReLU(x.results[0], name="unused"))
    assert len(module.body) == len(list(module.body)) == 6
    unused.erase()
    assert len(module.body) == len(list(module.body)) == 5


def test_replacing_all_uses():
    module = chain(3)
    x, first, second, *_ = module.body
    first.results[0].replace_all_uses_with(x.results[0])
    assert second.operands == x.results
    assert first.is_unused
    first.erase()
    assert not verify(module).errors


def test_same_value_twice():
    x = builtin.Input((4,), si(8), name="x")
    total = qnn.Add(x.result, x.result)
    assert len(x.result.uses) == 2
    assert x.result.users == (total,)
    total.set_operand(1, builtin.Input((4,), si(8)).result)
    assert [u.position for u in x.result.uses] == [0]


def test_a_walk_survives_edits():
    module = chain(20)
    seen = []
    for op in module.body:
        seen.append(op)
        if isinstance(op, qnn.ReLU):
            op.results[0].replace_all_uses_with(op.operands[0])
            op.erase()
            module.body.insert_before(module.terminator, qnn.ReLU(module.inputs[0].result)) if len(seen) == 3 else None
    assert len(seen) == 23
    assert [op.op_name for op in module.body] == ["builtin.input", "builtin.return"]


def test_names_are_unique_in_a_module():
    graph = Graph()
    names = [graph.append(builtin.Input((1,), si(8), name=n)).results[0].name for n in ("a", "a", "a_1", "7", "", "a")]
    assert names == ["a", "a_1", "a_2", "v7_1", None, "a_3"]


def test_a_name_is_free_again_after_removal():
    graph = Graph()
    op = graph.append(builtin.Input((1,), si(8), name="a"))
    graph.remove(op)
    assert graph.append(builtin.Input((1,), si(8), name="a")).results[0].name == "a"
    assert graph.append(op).results[0].name == "a_1"


@given(st.lists(st.text(max_size=3), max_size=30))
def test_name_authority_never_repeats(wanted):
    authority = NameAuthority()
    names = [authority.claim(w) for w in wanted]
    assert len(set(names)) == len(names)
    assert not any(n.isdigit() or not n for n in names)


def test_locations_fuse():
    a, b = Layer("a", "Conv"), Layer("b", "ReLU")
    assert fuse(UNKNOWN, a, a) == a
    assert fuse(a, Fused((b, a)), UNKNOWN) == Fused((a, b))
    assert fuse() is UNKNOWN


def test_tensors_are_immutable_and_hashed():
    values = np.arange(4)
    tensor = Tensor.of(values, si(8), "t")
    values[0] = 9
    assert tensor.array[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        tensor.array[0] = 1
    assert tensor == Tensor.of(np.arange(4), si(8), "t") != Tensor.of(np.arange(4), si(16), "t")
    with pytest.raises(ValueError, match="do not fit si8"):
        Tensor.of([128], si(8))
    with pytest.raises(ValueError, match="do not fit si8"):
        Tensor.of([1.5], si(8))
    assert Tensor.of(np.zeros((100, 100)), si(2).__class__.parse("f32")).splat == 0.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 100), st.integers(0, 100)), max_size=40))
def test_uses_agree_after_random_edits(edits):
    module = chain(6)
    for kind, first, second in edits:
        ops = [op for op in module.body if isinstance(op, (qnn.ReLU, qnn.Add))]
        earlier = [op for op in module.body if op.results]
        op = ops[first % len(ops)] if ops else None
        if kind == 0:
            position = second % len(earlier)
            a = earlier[position]
            module.body.insert_after(a, qnn.Add(a.results[0], a.results[0], acc=si(8)))
        elif op is not None and kind == 1 and op.is_unused:
            op.erase()
        elif op is not None and kind == 2:
            op.results[0].replace_all_uses_with(op.operands[0])
        elif op is not None and kind == 3:
            op.set_operands([module.inputs[0].result] * len(op.operands))
        elif op is not None and kind == 4:
            module.body.insert_before(op, qnn.ReLU(op.operands[0], name="new"))
        elif kind == 5:
            module = module.clone()
    assert not verify(module).errors, verify(module).render()


def test_a_type_states_its_range():
    assert (si(8).lo, si(8).hi, ui(4).lo, ui(4).hi) == (-128, 127, 0, 15)
    assert str(TensorType((None, 14, 14, 16), si(28))) == "tensor<?x14x14x16xsi28>"
    for bad in ("tensor<?x3xsi1>", "tensor<?x3>", "tensor<3x3xf16>", "tensor<-1xsi8>", "tensor<?x1x>", "tensor<ui64>"):
        with pytest.raises(ValueError, match="type"):
            TensorType.parse(bad)


# ---- rewriting --------------------------------------------------------------------------------------------------


@rule(qnn.ReLU, "relu(relu(x)) = relu(x)")
def once(op, rewriter):
    if not isinstance(op.x.owner, qnn.ReLU):
        return rewriter.why_not(op, "its operand is no relu")
    rewriter.replace(op, qnn.ReLU(op.x.owner.x), op.x.owner)
    return True


def test_rewriting_to_the_end():
    module = chain(50)
    rewriter = Rewriter()
    for index, op in enumerate(module.body):
        op.loc = Layer(f"l{index}")
    assert rewrite(module.body, [once], rewriter)
    assert [op.op_name for op in module.body] == ["builtin.input", "qnn.relu", "builtin.return"]
    (relu,) = (op for op in module.body if isinstance(op, qnn.ReLU))
    assert relu.result.name == "r49"
    assert len(relu.loc.parts) == 50
    assert rewriter.hits == {"once": 49}
    assert [reason for (name, op), reason in rewriter.missed.items() if op.graph] == ["its operand is no relu"]


def test_rules_that_undo_each_other_are_named():
    @rule(qnn.ReLU, "x = x")
    def spin(op, rewriter):
        rewriter.replace(op, qnn.ReLU(op.x))
        return True

    with pytest.raises(RuntimeError, match="do not come to rest: spin"):
        rewrite(chain(3).body, [spin])


def test_a_rule_that_fires_without_an_edit_is_named():
    """It would keep the rules behind it from being tried."""

    @rule(qnn.ReLU, "x = x")
    def idle(op, rewriter):
        return True

    with pytest.raises(RuntimeError, match="the rule idle says that it fired"):
        rewrite(chain(3).body, [idle])


def test_an_unfinished_module_has_no_terminator():
    module = builtin.Module("m", Graph([builtin.Input((4,), si(8))]))
    with pytest.raises(ValueError, match=r"does not end in builtin\.return"):
        _ = module.terminator

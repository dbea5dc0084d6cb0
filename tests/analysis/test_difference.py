"""What ops are called that have no name of their own."""

from cnn2snn_ir.analysis.difference import Names, leads_to
from cnn2snn_ir.text import parse_module

TEXT = """
module @m {
  %x = builtin.input {shape = [2, 2, 1], element = ui4} : tensor<?x2x2x1xui4>
  %0 = qnn.conv2d %x, #w<k, si4[1, 1, 1, 1], [1]> : tensor<?x2x2x1xsi28>
  %1 = qnn.conv2d %0, #w<k, si4[1, 1, 1, 1], [2]> : tensor<?x2x2x1xsi28>
  %y = qnn.conv2d %1, #w<k, si4[1, 1, 1, 1], [3]> : tensor<?x2x2x1xsi28>
  %2 = qnn.conv2d %y, #w<k, si4[1, 1, 1, 1], [4]> : tensor<?x2x2x1xsi28>
  builtin.return %y, %2
}
"""


def test_ops_are_called_after_the_first_named_value_that_they_lead_to():
    module = parse_module(TEXT)
    first, second, named, last = list(module.body)[1:5]
    assert [leads_to(op) for op in (first, second, last)] == ["y", "y", ""]
    names = {op: name for name, op in Names(module).ops.items()}
    assert names[first] == "qnn.conv2d for y"
    assert names[second] == "qnn.conv2d for y 2"
    assert names[named] == "y"
    assert names[last] == "qnn.conv2d"

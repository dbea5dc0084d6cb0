"""Errors in a text: a caret, what was expected, the nearest name; several at once."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lark import Token, UnexpectedToken

from cnn2snn_ir.diagnostics import CompileError
from cnn2snn_ir.dialects import DIALECTS
from cnn2snn_ir.text import parse_module
from cnn2snn_ir.text.literals import MAX_ELEMENTS
from cnn2snn_ir.text.syntax_errors import syntax_error

KNOWN = f"known dialects: {', '.join(DIALECTS)}"

GOOD = """module @m {
  %x = builtin.input {shape = [4, 4, 2], element = si8} : tensor<?x4x4x2xsi8>
  %r = qnn.relu %x {max = #w<m, ui8[], 6>} : tensor<?x4x4x2xsi8>
  builtin.return %r
}
"""


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ("qnn.relu", "qnn.rely", "PARSE-UNKNOWN-OP", "did you mean qnn.relu?"),
        ("qnn.relu", "qn.relu", "PARSE-UNKNOWN-OP", "did you mean qnn.relu?"),
        ("return %r", "return %q", "PARSE-UNDEFINED", "%q is not defined above"),
        ("%r = qnn.relu", "%x = qnn.relu", "PARSE-REDEFINED", "%x is defined twice"),
        ("{max =", "{maxx =", "PARSE-UNKNOWN-ATTRIBUTE", "did you mean max?"),
        ("shape = [4, 4, 2], ", "", "PARSE-MISSING-ATTRIBUTE", "needs the attribute shape"),
        ("builtin.return %r", "%z = builtin.return %r", "PARSE-RESULTS", "1 results are named but 0 types"),
        ("{shape = [4, 4, 2]", "{shape = [4, 4, 2], shape = [1]", "PARSE-DUPLICATE", "shape is given twice"),
        ("ui8[], 6", "ui8[], 256", "PARSE-TENSOR", "do not fit ui8[]"),
        ("ui8[], 6", "ui8[2], [1, 2, 3]", "PARSE-TENSOR", "do not fit ui8[2]"),
        ("tensor<?x4x4x2xsi8>\n  b", "tensor<?x4x4x2xsi8\n  b", "PARSE-SYNTAX", "expected"),
        ("tensor<?x4x4x2xsi8>\n  b", "tensor<?x4x4x2xsi99>\n  b", "PARSE-TYPE", "si99"),
        ("}\n", "", "PARSE-SYNTAX", "the end of the text"),
        ("module @m", "// c2s 999\nmodule @m", "PARSE-VERSION", "format 999"),
    ],
)
def test_one_fault(old, new, code, words):
    text = GOOD.replace(old, new, 1)
    if code == "PARSE-VERSION":
        text = "// c2s 999\n" + GOOD
    with pytest.raises(CompileError) as caught:
        parse_module(text, "m.c2s")
    (diagnostic, *_) = caught.value.diagnostics
    assert diagnostic.code == code
    rendered = caught.value.render()
    assert words == "expected" or words in rendered
    if code != "PARSE-VERSION":
        assert diagnostic.span is not None
        assert "^" in rendered


def pointed(text):
    """Code, what the caret points at, and the help, of every fault of a text."""
    with pytest.raises(CompileError) as caught:
        parse_module(text, "m.c2s")
    spans = [(d, d.span) for d in caught.value.diagnostics]
    return [(d.code, s.source.splitlines()[s.line - 1][s.column - 1 :][: s.length], d.help) for d, s in spans]


def test_the_bracket_that_is_one_too_deep_is_pointed_at():
    text = "module @m {\n} // [\n" + "  " + "[" * 70
    with pytest.raises(CompileError) as caught:
        parse_module(text, "m.c2s")
    (found,) = caught.value.diagnostics
    assert (found.code, found.where) == ("PARSE-DEPTH", "m.c2s:3")
    assert (found.span.line, found.span.column) == (3, 2 + 65)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (
            "qnn.relu",
            "abcdefgh.xyzzyxyz",
            ("PARSE-UNKNOWN-OP", "abcdefgh.xyzzyxyz", KNOWN),
        ),
        ("qnn.relu", "qnn.xyzzyxyzzyxyzzy", ("PARSE-UNKNOWN-OP", "qnn.xyzzyxyzzyxyzzy", "")),
        ("qnn.relu", "qnn.rely", ("PARSE-UNKNOWN-OP", "qnn.rely", "did you mean qnn.relu?")),
        ("return %r", "return %rr", ("PARSE-UNDEFINED", "%rr", "did you mean %r?")),
        ("{max =", "{zzzz =", ("PARSE-UNKNOWN-ATTRIBUTE", "qnn.relu", "it has max, shift")),
        ("ui8[], 6", "ui8[20000, 20000], 6", ("PARSE-TENSOR", "ui8[20000, 20000]", "")),
        ("ui8[], 6", "ui8[2], [1, 2, 3]", ("PARSE-TENSOR", "ui8[2]", "")),
        ("builtin.return %r\n", "builtin.return ?r\n", ("PARSE-SYNTAX", "?", "")),
        ("builtin.return %r\n", "builtin.return tensor<?xsi8>\n", ("PARSE-SYNTAX", "tensor", "")),
    ],
)
def test_the_caret_points_at_the_word(old, new, found):
    assert pointed(GOOD.replace(old, new, 1)) == [found]


def test_an_op_knows_where_it_stands():
    places = [(op.loc.file, op.loc.line, op.loc.column) for op in parse_module(GOOD, "m.c2s").body]
    lines = GOOD.splitlines()
    assert places == [
        ("m.c2s", n + 1, lines[n].index(op) + 1) for n, op in ((1, "builtin"), (2, "qnn"), (3, "builtin"))
    ]


def test_the_largest_tensor_of_one_value_that_is_read():
    assert pointed(GOOD.replace("ui8[], 6", f"ui8[{MAX_ELEMENTS + 1}], 6"))[0][0] == "PARSE-TENSOR"


def test_syntax_error_says_what_was_expected():
    with pytest.raises(CompileError) as caught:
        parse_module("module @m {\n  %a = \n}", "m.c2s")
    assert caught.value.render() == (
        "error: PARSE-SYNTAX  m.c2s:3: unexpected '}'\n"
        '    allowed: an op such as "qnn.conv2d", an op such as qnn.conv2d\n'
        "    m.c2s:3:1\n"
        "      }\n"
        "      ^"
    )


def test_all_faults_at_once():
    text = GOOD.replace("qnn.relu %x", "qnn.relu %nope").replace("return %r", "return %gone")
    with pytest.raises(CompileError) as caught:
        parse_module(text)
    assert [d.code for d in caught.value.diagnostics] == ["PARSE-UNDEFINED", "PARSE-UNDEFINED"]


def test_the_outermost_op_is_a_module():
    with pytest.raises(CompileError, match="PARSE-MODULE"):
        parse_module('"builtin.return"() : () -> ()')


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_mutated_text_gives_a_module_or_a_diagnostic(data):
    """Never another exception, whatever happens to the text."""
    text = list(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(text) - 1))
        replacement = data.draw(
            st.sampled_from(["", "{", "}", "%", "#", "<", ">", "9", '"', "x", ",", "=", ":", "é", "\n"])
        )
        text[position] = replacement
    with contextlib.suppress(CompileError):
        parse_module("".join(text))


@pytest.mark.parametrize(("accepts", "allowed"), [({"RPAR"}, "')'"), (set(), "')', ','")])
def test_what_may_stand_there_is_what_leads_on(accepts, allowed):
    """Of the words that a state of the parser has, some end in a state that takes them no further."""
    error = UnexpectedToken(Token("COMMA", ";", 0, 1, 3), {"RPAR", "COMMA"})
    error._accepts = accepts
    assert syntax_error(error, "x ;", "file").allowed == allowed

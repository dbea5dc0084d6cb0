"""Mutants that no test can tell from the program, each judged by hand: what it is, and why nobody can see it."""

EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "cnn2snn_ir/analysis/registers.py",
        "np.linspace(0, len(wanted) - 1, SOME)",
        "np.linspace(len(wanted) - 1, 0, SOME)",
    ): "the points are put into a set, which is symmetric about the middle",
    ("cnn2snn_ir/analysis/requantizers.py", "break", "continue"): (
        "what is found is exact already, and no later candidate has fewer errors than none: it only takes longer"
    ),
    (
        "frontends/keras_h5/tail.py",
        "math.prod(x.type.per_sample) // -math.prod(shape)",
        "(-(-math.prod(x.type.per_sample) // -math.prod(shape)))",
    ): "Keras writes shapes that divide the elements, so there is nothing to round",
    ("passes/base.py", "any(changed)", "all(changed)"): "an op that a pass is anchored to has one graph",
    ("frontends/onnx/standard/faults.py", "super().__init__(message)", "pass"): (
        "Python has kept the arguments of an exception before `__init__` runs"
    ),
    ("backends/program/pack.py", 'raise TypeError(f"{wire} stands in its table")', "pass"): (
        "no wire type of the schema gets there: the branch tells a maintainer who adds one"
    ),
    ("passes/materialize_alignment.py", "return False", "return None"): "a rule fires if it returns what is true",
}
"""Path, the code before, the code after (both as `sites.short` writes them) ▶ why."""

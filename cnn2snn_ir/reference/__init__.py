"""Reference semantics: for every op a small function in int64, obviously right, never fast.

The interpreter runs a module op by op.  It is the oracle of the fast engine, the judge of every pass, and
what constant folding calls.
"""

from cnn2snn_ir.reference.interpreter import evaluate_op, run, run_all

__all__ = ["evaluate_op", "run", "run_all"]

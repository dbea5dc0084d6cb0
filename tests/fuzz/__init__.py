"""Hostile inputs for every reader: `python -m tests.fuzz` from the checkout; docs/robustness.md tells the contract.

`mutate.py` spoils bytes, texts and trees; `readers/` has one file a reader: its seeds, its mutants, how it is called;
`contract.py` judges one input; `worker.py` runs many in processes of their own; `command.py` is the command line.
"""

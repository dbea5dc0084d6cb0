"""Integers in the place of reals: one function for every op of `nn` that has a counterpart."""

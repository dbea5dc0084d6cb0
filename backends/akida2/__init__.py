"""Akida 2: from the `akida2` dialect to a program."""

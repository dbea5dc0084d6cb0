"""Legality: what a target can run, as tables of rules."""

"""Legalization: exact rewrites that make a model legal for a target instead of refusing it."""

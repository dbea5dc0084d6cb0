"""Keras .h5 and .keras files of QuantizeML models."""

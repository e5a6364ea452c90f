"""Masked language modelling: an encoder learns to read the texts at hand."""

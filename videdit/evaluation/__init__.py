"""Measuring how good results are: inversion, identity, motion."""

"""Inversion: from an aligned crop to the W+ code whose picture it is."""

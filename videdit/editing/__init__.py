"""Edits of W+ codes: attributes, strengths over time, linear boundaries."""

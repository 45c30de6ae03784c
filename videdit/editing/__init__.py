"""Edits of W+ codes: attributes, strengths over time, latent transformers, baselines."""

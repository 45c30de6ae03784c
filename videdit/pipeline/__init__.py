"""Stages, the store of what they leave, and the runner that brings them to completion."""

"""Putting an edited face back so that nothing shows: where, in which colours, without a seam.

Everything works on aligned square crops: float32 RGB in [0, 1], (size, size, 3). "Crop units" are
fractions of the crop's side.
"""

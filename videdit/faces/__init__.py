"""Faces: detectors and landmarkers, tracks through a shot, smoothing, the FFHQ alignment."""

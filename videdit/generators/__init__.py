"""Generators: networks that turn W+ codes into pictures. They know nothing of video or stages."""

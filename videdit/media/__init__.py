"""Timeline, reading, compositing, writing and shots: everything that touches a media file.

Import the modules by name (``videdit.media.timeline`` …); this package itself loads nothing, so
that the command line starts fast.
"""

"""Edit the face of a person in a video or a picture.

The library in three names: :func:`edit_video`, :func:`edit_image` and :func:`load_bundle`, with the
:class:`RunSettings` and the :class:`Progress` that they take. They are looked up on first use, so
that `import videdit` and `videdit --help` load neither torch nor OpenCV.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from videdit.api import edit_image as edit_image
    from videdit.api import edit_video as edit_video
    from videdit.bundles import load_bundle as load_bundle
    from videdit.pipeline.progress import Progress as Progress
    from videdit.settings import RunSettings as RunSettings

__version__ = "0.1.0"

# Importing OpenVINO alone sends telemetry, from processes that it forks, unless this library of its
# is missing. So it is, here and in every process that imports this package.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

_LAZY = {
    "edit_video": "videdit.api",
    "edit_image": "videdit.api",
    "load_bundle": "videdit.bundles",
    "Progress": "videdit.pipeline.progress",
    "RunSettings": "videdit.settings",
}

__all__ = ["Progress", "RunSettings", "__version__", "edit_image", "edit_video", "load_bundle"]


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

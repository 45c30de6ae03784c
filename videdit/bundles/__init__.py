"""Bundles: what a set of weights is made of, where it comes from, how it is verified.

`load_bundle` gives paths to verified parts; `ensure_bundle` fetches what is absent first.
"""

from __future__ import annotations

from videdit.bundles.bundle import Bundle, load_bundle
from videdit.bundles.ensure import ensure_bundle
from videdit.bundles.fetch import fetch
from videdit.bundles.manifest import (
    DEFAULT_BUNDLE,
    Manifest,
    Part,
    Wheel,
    bundle_names,
    read_manifest,
    record_part,
    weights_root,
)

__all__ = [
    "DEFAULT_BUNDLE",
    "Bundle",
    "Manifest",
    "Part",
    "Wheel",
    "bundle_names",
    "ensure_bundle",
    "fetch",
    "load_bundle",
    "read_manifest",
    "record_part",
    "weights_root",
]

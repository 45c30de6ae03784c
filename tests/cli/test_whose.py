"""Which edits of a command line are whose."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from videdit.cli.run import Alphas, Attributes, EditTexts, PresetNames
from videdit.cli.whose import Faces, OrderedCommand, edits_of_faces, options_in_order
from videdit.errors import UsageError


def asked(*words: str) -> tuple[str, list[str]]:
    """The face and the edits of a command line."""
    app, found = typer.Typer(), list[tuple[str, list[str]]]()

    @app.command(cls=OrderedCommand)
    def command(
        ctx: typer.Context,
        attr: Attributes = [],  # noqa: B006
        alpha: Alphas = [],  # noqa: B006
        edit: EditTexts = [],  # noqa: B006
        preset: PresetNames = [],  # noqa: B006
        face: Faces = [],  # noqa: B006
    ) -> None:
        whose, edits = edits_of_faces(options_in_order(ctx), face, attr, alpha, edit, preset)
        found.append((whose, [str(one) for one in edits]))

    done = CliRunner().invoke(app, list(words))
    if done.exception is not None:
        raise done.exception
    return found[0]


@pytest.mark.parametrize("words", ["--face all --attr Smiling", "--attr Smiling --face all"])
def test_one_face_is_that_of_all_edits_wherever_it_stands(words: str) -> None:
    assert asked(*words.split()) == ("all", ["Smiling=1.0"])


def test_none_is_the_largest() -> None:
    assert asked("-e", "Young=-1") == ("largest", ["Young=-1.0"])
    assert asked() == ("largest", [])


def test_of_several_each_has_the_edits_behind_it() -> None:
    words = (
        "--face like:a.jpg --attr Smiling --edit Young=-1 --preset glasses "
        "--face=track:2 -a Young --alpha -1 --attr smiling=0:0,1:2"
    )
    assert asked(*words.split()) == (
        "largest",
        [
            *("Eyeglasses=1.0@like:a.jpg", "Smiling=1.0@like:a.jpg", "Young=-1.0@like:a.jpg"),
            *("Young=-1.0@track:2", "Smiling=0.0s:0.0,1.0s:2.0@track:2"),
        ],
    )


def test_a_preset_yields_to_its_own_face_alone() -> None:
    words = "--face track:1 --preset happier --face track:2 --attr Smiling=0.5"
    assert asked(*words.split())[1] == ["Smiling=1.0@track:1", "Smiling=0.5@track:2"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--attr Smiling --face all --face track:1", "--attr Smiling comes before the first"),
        ("--face all --attr Smiling --face track:1", "--face track:1 is followed by no edit"),
        ("--face all --attr Smiling --face track:1 --alpha 2", "0 --attr but 1 --alpha"),
    ],
)
def test_what_is_nobodys_is_refused(words: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        asked(*words.split())

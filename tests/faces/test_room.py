"""The room as a house: no circles, light parameters; and boxes."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, asdict, is_dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest

import videdit.faces
from videdit.faces.boxes import overlaps
from videdit.faces.parameters import DEFAULT, FaceParameters

ROOM = Path(videdit.faces.__file__).parent


def imports_of(path: Path) -> set[str]:
    """The room's own modules that one imports anywhere, inside functions and for types as well."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: the room imports by full names"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    own = {name.split(".")[2] for name in names if name.startswith("videdit.faces.")}
    return {name for name in own if (ROOM / f"{name}.py").is_file()}


def test_no_module_needs_itself_in_a_circle() -> None:
    graph = {path.stem: imports_of(path) for path in ROOM.glob("*.py")}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert {"mesh", "fan", "backend", "detection", "tracking", "paths"} <= set(order)
    assert not graph["detection"] & {"mesh", "fan", "backend"}


def test_what_settings_need_is_light() -> None:
    code = (
        "import sys; from videdit.faces import choice, parameters; choice.check_face('largest');"
        "print(sorted({'numpy', 'cv2', 'torch', 'openvino', 'scipy'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_parameters_are_frozen_and_plain_json() -> None:
    plain = asdict(DEFAULT)
    # Tuples come back as lists; apart from that JSON holds them exactly.
    text = json.dumps(plain, allow_nan=False)
    assert json.dumps(json.loads(text)) == text
    assert set(plain) == {"detecting", "tracking", "aligning", "removing"}
    numbers = []

    def visit(group: object) -> None:
        for name, value in vars(group).items():
            if is_dataclass(value):
                visit(value)
            else:
                assert isinstance(value, (int, float, tuple)), name
                numbers.append(name)
            with pytest.raises(FrozenInstanceError):
                setattr(group, name, value)

    visit(FaceParameters())
    assert len(numbers) > 30


def test_overlaps() -> None:
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [2, 0, 4, 2], [5, 5, 5, 5], [0, 0, 4, 1]])
    found = overlaps(boxes[0], boxes)
    np.testing.assert_allclose(found, [1, 1 / 7, 0, 0, 2 / 6])
    table = overlaps(boxes[:, None], boxes)
    np.testing.assert_array_equal(table, table.T)
    np.testing.assert_array_equal(table[0], found)
    assert overlaps(boxes[0], np.zeros((0, 4))).shape == (0,)
    assert overlaps(boxes[3], boxes[3]) == 0  # no area

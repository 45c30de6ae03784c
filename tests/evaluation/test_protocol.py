"""`videdit evaluate attributes` in small, with the real networks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from videdit.bundles import Bundle
from videdit.errors import NoFaceError, UsageError, WeightsError
from videdit.evaluation.attributes import Eye, Protocol
from videdit.evaluation.protocol import evaluate_attributes

DATA = Path(__file__).parents[2] / "training_data" / "faces"


@pytest.mark.weights
@pytest.mark.slow
def test_a_report_of_two_faces(bundle: Bundle, default_cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("dlib")
    pytest.importorskip("matplotlib")
    folder, lines = tmp_path / "report", []
    protocol = Protocol(("Smiling",), (1.0, 2.0), 2)
    methods = ["transformer", "interfacegan+keep"]
    report = evaluate_attributes(folder, methods, protocol, DATA, lines.append)
    assert set(report["methods"]) == set(methods)
    about = report["about"]
    assert about["judge"]["mean_auc"] > 0.85
    assert {"Wearing_Necklace", "Bald"} <= set(about["not_counted"]) < set(about["judge"]["auc"])
    assert 0.7 < about["ceiling"]["inverted again"] <= 1
    assert 0.85 < about["ceiling"]["recompressed"] <= 1
    assert 0.3 < about["spread"]["reconstruction"] < 1.2
    assert about["spread"]["transformer"][0] < about["spread"]["transformer"][1]
    assert len(report["sequences"]["transformer"]["left"]) == 5
    smile = report["methods"]["transformer"]["Smiling"]
    assert smile["strengths"] == (1.0, 2.0)
    assert 0.5 < smile["preservation"][0] <= 1
    assert 0 < smile["identity"][0] < smile["identity"][1]
    for name in ("curves.csv", "change-preservation.png", "change-identity.png", "sheet.jpg"):
        assert (folder / name).stat().st_size > 0

    # What is there is not measured again; what would be another measurement is refused.
    made = {path.name: path.stat().st_mtime_ns for path in (folder / "parts").iterdir()}
    again = evaluate_attributes(folder, methods, protocol, DATA, lines.append)
    assert json.dumps(again) == json.dumps(report)
    assert {p.name: p.stat().st_mtime_ns for p in (folder / "parts").iterdir()} == made
    with pytest.raises(UsageError, match="other settings"):
        evaluate_attributes(folder, methods, Protocol(("Young",), (1.0,), 2), DATA, lines.append)
    with pytest.raises(UsageError, match="Charm"):
        evaluate_attributes(tmp_path, methods, Protocol(("Charm",)), DATA, lines.append)


@pytest.mark.weights
@pytest.mark.slow
def test_another_bundles_editors_are_measured_on_its_own_pictures(
    tiny: Bundle, default_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its generator is random and shows no faces, so where they are is made up."""
    pytest.importorskip("dlib")
    pytest.importorskip("matplotlib")
    protocol, lines = Protocol(("Smiling",), (1.0, 40.0), 2), list[str]()
    with pytest.raises(NoFaceError, match="'tiny'") as caught:
        evaluate_attributes(tmp_path / "none", [], protocol, DATA, lines.append, bundle="tiny")
    assert "evaluate inversion --bundle tiny" in caught.value.remedy
    points = np.random.default_rng(0).uniform(80, 180, (68, 2)).astype(np.float32)
    monkeypatch.setattr(Eye, "landmarks", lambda *_: points)
    folder = tmp_path / "report"
    report = evaluate_attributes(folder, [], protocol, DATA, lines.append, bundle="tiny")
    assert set(report["methods"]) == {"transformer"}
    assert any("ganspace is left out" in line for line in lines)
    with np.load(next((folder / "parts").glob("faces.*.npz"))) as arrays:
        assert arrays["codes"].shape == (2, 10, 32)
    assert report["methods"]["transformer"]["Smiling"]["identity"][1] > 0
    others = Protocol(("Young",), (1.0,), 2)
    with pytest.raises(UsageError, match="knows these attributes"):
        evaluate_attributes(tmp_path / "b", [], others, DATA, lines.append, bundle="tiny")
    with pytest.raises(WeightsError, match="interfacegan"):
        evaluate_attributes(tmp_path, ["interfacegan"], protocol, DATA, print, bundle="tiny")

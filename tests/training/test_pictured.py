"""Maps trained through pictures are judged by what of an edit will be shown."""

from __future__ import annotations

import torch

from videdit.faces.regions import NEVER, REGIONS
from videdit.training.classifier import shaken
from videdit.training.maps import both
from videdit.training.pictured import _touched, allowance, composed, skin_tone


def regions(**places: slice) -> torch.Tensor:
    """(1, regions, 128, 128): background, and columns of other regions."""
    found = torch.zeros(1, len(REGIONS), 128, 128)
    found[0, 0] = 1
    for name, columns in places.items():
        found[0, :, :, columns] = 0
        found[0, REGIONS.index(name), :, columns] = 1
    return found


NEVER_TOUCHED = torch.tensor([float(name in NEVER) for name in REGIONS])


def test_an_edit_is_shown_where_its_regions_are_before_or_after() -> None:
    touched = torch.zeros(1, len(REGIONS))
    touched[0, REGIONS.index("hair")] = 1
    before = regions(skin=slice(40, 80), hair=slice(80, 100))
    after = regions(skin=slice(40, 70), hair=slice(70, 120))
    mask = allowance(before, after, touched, NEVER_TOUCHED)
    assert mask.shape == (1, 1, 256, 256)
    row = mask[0, 0, 100]
    assert row[170:196].min() == 1  # hair before
    assert row[142:158].min() == 1  # hair over what was skin
    assert row[100:134].max() == 0  # skin that stays skin
    assert row[210:].max() == 0  # hair that grows over the background
    assert row[201:203].min() > 0.5  # two pixels of the map around it


def test_a_source_changes_as_its_reconstruction_does_and_matter_is_the_edits() -> None:
    source, before, edited = (torch.full((1, 3, 256, 256), v) for v in (0.7, 0.5, 0.6))
    mask, bare = torch.zeros(1, 1, 256, 256), torch.zeros(1, 1, 256, 256)
    mask[..., 100:] = 1
    bare[..., 200:] = 1
    found = composed(source, before, edited, mask, bare)[0, 0, 0]
    torch.testing.assert_close(found[[0, 150, 250]], torch.tensor([0.7, 0.8, 0.6]))


def test_what_a_direction_may_touch_is_what_its_edit_may() -> None:
    rows, matter = _touched(both(("Eyeglasses", "Black_Hair"), (0, 1)))
    assert matter.sum(1).tolist() == [0, 0, 0, 0]
    bangs = _touched(both(("Bangs",), (0,)))[1]
    assert bangs[0].nonzero()[:, 0].tolist() == [REGIONS.index("hair")]
    assert rows.shape == (4, len(REGIONS))
    assert rows[0, REGIONS.index("glasses")] == 1
    assert rows[0, REGIONS.index("hair")] == 0
    assert rows[2].nonzero()[:, 0].tolist() == [REGIONS.index("hair")]
    assert not rows[:, [REGIONS.index(name) for name in NEVER]].any()


def test_shaken_pictures_are_moved_by_a_few_pixels_and_lit_otherwise() -> None:
    torch.manual_seed(0)
    pictures = torch.zeros(3, 3, 64, 64)
    pictures[:, :, 32, 32] = 1
    places, lights = set(), []
    for _ in range(20):
        found = shaken(pictures)
        assert found.shape == pictures.shape
        at = found[0, 0].flatten().argmax().item()
        places.add((at // 64 - 32, at % 64 - 32))
        lights += [float(one.max()) for one in found]
    assert len(places) > 10
    assert all(max(abs(y), abs(x)) <= 6 for y, x in places)
    assert 0.9 <= min(lights) < 0.95
    assert 1.05 < max(lights) <= 1.1


def test_the_skins_tone_is_its_mean_colour() -> None:
    seen = (regions(skin=slice(40, 80), hair=slice(80, 100)) * 255).byte()
    change = torch.zeros(1, 3, 256, 256)
    change[:, 0, :, 80:160] = 0.1  # all of the skin
    change[:, 1, :, 80:120] = 0.1  # half of it
    change[:, 2, :, 160:] = 0.5  # elsewhere
    found = skin_tone(seen, change)
    torch.testing.assert_close(found, torch.tensor([[0.1, 0.05, 0.0]]), atol=1e-3, rtol=0)

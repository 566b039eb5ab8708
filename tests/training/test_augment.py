"""Random views against Pillow, and what must hold of every draw."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from hf_hyperbolic.training.augment import Views, change_of_colour, draw_views, show

LUMA = np.array([0.299, 0.587, 0.114])


def photograph(side=(60, 48), seed=0):
    """Smooth colours with an edge, as PIL image of (width, height)."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (5, 4, 3), dtype=np.uint8))
    image = small.resize(side, Image.Resampling.BICUBIC)
    image.paste((250, 20, 90), (10, 8, 25, 30))
    return image


def tensor(*images):
    return torch.from_numpy(np.stack([np.asarray(image).transpose(2, 0, 1) for image in images]).copy())


def plain(count, **changed):
    """Views that show all of a crop as it is."""
    whole = np.tile(np.array([0, 0, 1, 1], np.float32), (count, 1))
    colour, grey = change_of_colour(*np.ones((3, count)), np.zeros(count))
    return Views(whole, np.zeros(count, bool), colour, grey)._replace(**changed)


def test_windows_are_those_of_pillow():
    image, windows = photograph(), [(0.0, 0.0, 1.0, 1.0), (0.1, 0.25, 0.93, 0.8), (0.5, 0.5, 0.75, 0.9)]
    views = plain(3, windows=np.array(windows, np.float32))
    for size in (20, 64):
        found = show(tensor(image, image, image), views, size)
        for view, (x0, y0, x1, y1) in zip(found, windows, strict=True):
            box = (x0 * image.width, y0 * image.height, x1 * image.width, y1 * image.height)
            expected = tensor(image.resize((size, size), Image.Resampling.BILINEAR, box=box))[0]
            assert (view - expected).abs().max() <= 1.01  # Pillow rounds, twice


def test_each_crop_gets_its_own_view():
    images = [photograph(seed=seed) for seed in range(3)]
    views = draw_views(3, np.random.default_rng(0))
    together = show(tensor(*images), views, 16)
    for n in range(3):
        alone = show(tensor(images[n]), views.take(np.array([n])), 16)
        torch.testing.assert_close(together[n], alone[0], rtol=1e-5, atol=1e-3)


def test_mirrored_views_are_the_others_mirrored():
    views = draw_views(4, np.random.default_rng(1))
    crops = tensor(*(photograph(seed=seed) for seed in range(4)))
    one, other = (show(crops, views._replace(mirrored=np.full(4, on)), 24) for on in (False, True))
    assert torch.equal(one.flip(-1), other)


@pytest.mark.parametrize("name", ["Brightness", "Contrast", "Color"])
def test_colours_change_as_pillow_changes_them(name):
    image = photograph()
    for factor in (0.6, 1.3):
        factors = {"Brightness": [1.0], "Contrast": [1.0], "Color": [1.0], name: [factor]}
        colour, grey = change_of_colour(*map(np.array, factors.values()), np.zeros(1))
        found = show(tensor(image), plain(1, colour=colour, grey=grey), 48)
        changed = getattr(ImageEnhance, name)(image.resize((48, 48), Image.Resampling.BILINEAR)).enhance(factor)
        assert (found - tensor(changed)).abs().max() < 2.5


def test_a_turn_of_hue_keeps_luma_and_greys_and_comes_back():
    turns = np.linspace(0.1, 2 * np.pi, 9)
    colour, grey = change_of_colour(*np.ones((3, 9)), turns)
    np.testing.assert_allclose(LUMA @ colour, np.tile(LUMA, (9, 1)), atol=1e-5)
    np.testing.assert_allclose(colour.sum(2), 1, atol=1e-5)
    assert not grey.any()
    back, _ = change_of_colour(*np.ones((3, 9)), -turns)
    np.testing.assert_allclose(colour @ back, np.tile(np.eye(3), (9, 1, 1)), atol=1e-5)
    assert np.abs(colour[0] - np.eye(3)).max() > 0.02


def test_draws_are_as_told():
    views = draw_views(4000, np.random.default_rng(2), min_area=0.3)
    x0, y0, x1, y1 = views.windows.T
    assert (views.windows >= 0).all()
    assert (views.windows <= 1 + 1e-6).all()
    area, ratio = (x1 - x0) * (y1 - y0), (x1 - x0) / (y1 - y0)
    assert area.max() > 0.95
    assert 0.25 < area.min() < 0.35  # a little less where a long window is cut at the crop
    assert 3 / 4 - 1e-4 < ratio.min() < ratio.max() < 4 / 3 + 1e-4
    assert views.mirrored.mean() == pytest.approx(0.5, abs=0.03)
    spread = views.colour.max(2) - views.colour.min(2)
    grey = np.ptp(views.colour, axis=1).max(1) < 1e-5  # all rows alike: no colour is left
    assert grey.mean() == pytest.approx(0.2, abs=0.03)
    unchanged = np.abs(views.colour - np.eye(3)).max((1, 2)) < 1e-5
    assert unchanged.mean() == pytest.approx(0.2 * 0.8, abs=0.03)
    assert spread.min() > 0


def test_no_change_of_colour_nor_mirror_where_none_is_asked_for():
    views = draw_views(500, np.random.default_rng(3), colour=0.0, flip=False)
    np.testing.assert_allclose(views.colour, np.tile(np.eye(3), (500, 1, 1)), atol=1e-6)
    assert not views.grey.any()
    assert not views.mirrored.any()


def test_views_stay_within_what_pixels_are():
    crops = tensor(*(photograph(seed=seed) for seed in range(8)))
    shown = show(crops, draw_views(8, np.random.default_rng(4)), 32)
    assert shown.shape == (8, 3, 32, 32)
    assert shown.dtype == torch.float32
    assert shown.min() >= 0
    assert shown.max() <= 255

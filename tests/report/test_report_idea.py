"""The pictures of the idea say what the geometry says, and what their page says."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("matplotlib")

from hf_hyperbolic.report import idea
from hf_hyperbolic.report.style import DARK

ROOT = Path(__file__).parents[2]
OTHERS = [name for name in idea.POINTS if name != "wheel"]


def angle_between(at: str, one: tuple[float, float], other: tuple[float, float]) -> float:
    """Degrees of the angle at a point of the disk between geodesics, by the hyperbolic law of cosines."""

    def length(p, q):
        p, q = complex(*p), complex(*q)
        return 2 * math.atanh(abs((p - q) / (1 - p.conjugate() * q)))

    apex = disk(at)
    a, b, c = length(apex, one), length(apex, other), length(one, other)
    cosine = (math.cosh(a) * math.cosh(b) - math.cosh(c)) / (math.sinh(a) * math.sinh(b))
    return math.degrees(math.acos(cosine))


def disk(name: str) -> tuple[float, float]:
    _, distance, degrees = idea.POINTS[name]
    reach = math.tanh(distance / 2)
    return reach * math.cos(math.radians(degrees)), reach * math.sin(math.radians(degrees))


@pytest.mark.parametrize(
    ("whole", "part"), [("street", "lamp"), ("car", "wheel"), ("wheel", "car"), ("kitchen", "sail")]
)
def test_both_angles_are_those_of_the_triangle(whole, part):
    origin = (1e-9, 0.0)
    at_whole = float(idea.beta(idea.place(whole), idea.place(part)))
    at_part = float(idea.alpha(idea.place(whole), idea.place(part)))
    assert at_whole == pytest.approx(angle_between(whole, origin, disk(part)), abs=1e-4)
    assert at_part == pytest.approx(180 - angle_between(part, origin, disk(whole)), abs=1e-4)
    assert at_part >= at_whole


def test_what_the_page_says_of_the_wheel():
    like = [name for name, _ in idea.ranked("wheel", "distance", "parents", OTHERS)]
    assert like[0] == "another wheel"
    assert like.index("street") > like.index("car window")
    holds = idea.ranked("wheel", "beta", "parents", OTHERS)
    assert [name for name, _ in holds[:2]] == ["car", "street"]
    assert all(math.degrees(score) > 145 for _, score in holds[:2])
    assert all(math.degrees(score) < 90 for _, score in holds[2:])
    assert float(idea.beta(idea.place("wheel"), idea.place("car"))) < 90, "the car is no part of the wheel"
    assert idea.walk("wheel", OTHERS)[-2:] == ["car", "street"]


def test_most_of_the_disk_is_a_hub_by_the_angle_at_the_part():
    side = torch.linspace(-0.95, 0.95, 60, dtype=torch.float64)
    disk = torch.stack(torch.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)
    points = idea.lorentz.from_poincare(disk[disk.norm(dim=1) < 0.95], 1.0)
    wheel = idea.place("wheel")
    assert (idea.alpha(points, wheel) > 165).double().mean() > 0.5
    assert (idea.beta(points, wheel) > 165).double().mean() < 0.1


def test_circles_are_as_long_as_they_are_in_the_hyperbolic_plane():
    hyperbolic, euclidean = idea.path().axes[1].lines
    r = np.asarray(hyperbolic.get_xdata())
    np.testing.assert_allclose(hyperbolic.get_ydata(), 2 * np.pi * np.sinh(r), rtol=1e-6)
    np.testing.assert_allclose(euclidean.get_ydata(), 2 * np.pi * r)


def test_the_committed_pictures_are_those_of_the_page():
    there = {path.stem: path.stat().st_size for path in (ROOT / "docs" / "idea").glob("*.svg")}
    assert set(there) == {name + kind for name in idea.FIGURES for kind in ("", "-dark")}
    assert max(there.values()) < 150_000
    page = (ROOT / "docs" / "idea.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\(idea/(\w+)\.svg\)", page)) == set(idea.FIGURES)


def luminance(colour: str) -> float:
    """As WCAG 2 defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("name", sorted(idea.FIGURES))
def test_the_dark_pictures_have_no_panel_and_text_that_is_legible(name):
    dark = (ROOT / "docs" / "idea" / f"{name}-dark.svg").read_text(encoding="utf-8")
    texts, fills = (
        {colour for tag in re.findall(rf"<{kind} [^>]*>", dark) for colour in re.findall(r"fill: (#\w{6})", tag)}
        for kind in ("text", "path")
    )
    # labels on the page and on the disk, and lines of text in colours of their own
    assert DARK.ink in texts
    for colour in texts:
        for ground in (DARK.paper, DARK.disk):
            light, low = sorted((luminance(colour), luminance(ground)))[::-1]
            assert (light + 0.05) / (low + 0.05) >= 4.5, (colour, ground)
    # neither the figure nor the axes are filled
    assert "#ffffff" not in fills
    light = (ROOT / "docs" / "idea" / f"{name}.svg").read_text(encoding="utf-8")
    assert "fill: #ffffff" in light
    assert DARK.ink not in light


def test_the_command_writes_the_same_every_time(tmp_path, monkeypatch, capsys):
    for folder in ("one", "two"):
        monkeypatch.setattr("sys.argv", ["idea", "--output", str(tmp_path / folder)])
        monkeypatch.setattr(idea, "FIGURES", {"path": idea.path})
        idea.main()
    assert (tmp_path / "one" / "path.svg").read_bytes() == (tmp_path / "two" / "path.svg").read_bytes()
    assert "path.svg" in capsys.readouterr().out
    assert {file.name for file in (tmp_path / "one").iterdir()} == {"path.svg", "path-dark.svg"}

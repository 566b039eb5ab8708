"""The space as pictures: the Poincare disk true in radius, and HoroPCA, true to the spread; how much each keeps."""

import math
from pathlib import Path

import numpy as np

from hf_hyperbolic.data.files import written_aside
from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation.scorer import is_hyperbolic
from hf_hyperbolic.report import html
from hf_hyperbolic.report.example import example_images
from hf_hyperbolic.report.gallery import CropOf
from hf_hyperbolic.report.horopca import Kept, horopca, kept
from hf_hyperbolic.report.html import Markup
from hf_hyperbolic.report.poincare import LARGEST_CLOUD, embedding_radii, plane_directions, plane_to_disk, poincare_disk
from hf_hyperbolic.report.style import to_png


def space_section(hierarchy: Hierarchy, embeds: np.ndarray, curvature: float | None, crop_of: CropOf) -> Markup:
    """One picture for a Euclidean model, two for a hyperbolic one.

    Args:
        hierarchy: the split.
        embeds: (N, D) embeddings, one row a node.
        curvature: c of the space of curvature -c; None or 0 for a Euclidean model.
        crop_of: node -> (H, W, 3) uint8.
    """
    nodes = np.flatnonzero(hierarchy.active())
    levels, points = hierarchy.level[nodes], np.asarray(embeds)[nodes]
    c = float(curvature) if curvature and is_hyperbolic(curvature) else None
    examples = example_images(hierarchy, 2, 8)
    disk = poincare_disk(points, levels, c, hierarchy, nodes, examples, crop_of)
    name = "Poincaré disk" if c else "plane"
    sampled = f" ({LARGEST_CLOUD:,} of {len(nodes):,} points, drawn at random)" if len(nodes) > LARGEST_CLOUD else ""
    about = (
        f"The split{sampled} in the {name}, coloured by level, with the trees of two images. The distance from the "
        "centre is true (circles at the distances written on them); the direction is that of the two principal axes "
        "of all directions. It is a picture, not a map: points side by side here may be far apart."
    )
    lead = "Wholes should lie nearer the origin than their parts."
    alt = f"embeddings in the {name}, scenes, objects and parts"
    if c is None or points.shape[1] < 2:
        return html.section("space", "The space", html.figure(disk, alt, about, kind="png", class_="wider"), lead=lead)
    away = np.sinh(math.sqrt(c) * embedding_radii(points, c)) / math.sqrt(c)
    of_disk = kept(points, plane_directions(points) * away[:, None], c)
    flat = _upright(horopca(points, c))
    of_horopca = (
        "The same points by HoroPCA with two components (Chami et al. 2021): projected along horospheres onto the "
        "plane through the origin (the cross) in which they lie furthest apart, and turned so that their mean is up. "
        "Distances shrink, that from the origin too, but where they cross the axis between the two ideal points: what "
        f"is far apart here is far apart in the space. {_words(kept(points, flat, c))}"
    )
    drawn = poincare_disk(points, levels, c, hierarchy, nodes, examples, crop_of, plane_to_disk(flat, c))
    return html.section(
        "space", "The space",
        html.figure(disk, alt, f"{about} {_words(of_disk)}", kind="png", class_="wider"),
        html.figure(drawn, "embeddings by HoroPCA, scenes, objects and parts", of_horopca, kind="png", class_="wider"),
        lead=lead,
    )  # fmt: skip


def write_disk(path: Path, hierarchy: Hierarchy, embeds: np.ndarray, curvature: float | None) -> None:
    """The first of these pictures as a PNG file, without pictures of the data, which not everybody may show on.

    Args:
        path: the file.
        hierarchy, embeds, curvature: as in `space_section`.
    """
    nodes = np.flatnonzero(hierarchy.active())
    c = float(curvature) if curvature and is_hyperbolic(curvature) else None
    points, levels = np.asarray(embeds)[nodes], hierarchy.level[nodes]
    picture = to_png(poincare_disk(points, levels, c, hierarchy, nodes, example_images(hierarchy, 2, 8)), 120)
    with written_aside(path) as aside:
        aside.write_bytes(picture)


def _upright(flat: np.ndarray) -> np.ndarray:
    """(N, 2) points turned about the origin, which changes no distance, such that their mean lies straight up."""
    x, y = flat.mean(0) / max(float(np.linalg.norm(flat.mean(0))), 1e-12)
    return flat @ np.array([[y, x], [-x, y]])


def _words(share: Kept) -> str:
    excess = " (more than all: it spreads points that lie close)" if share.variance > 1 else ""
    return (
        f"Mean squared distance between points, of that in the space: {100 * share.variance:.0f} %{excess}; a distance "
        f"is off by {100 * share.distortion:.0f} % of its length in the mean."
    )

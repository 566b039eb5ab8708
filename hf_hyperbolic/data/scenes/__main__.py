"""A contact sheet of embedded scenes: `python -m hf_hyperbolic.data.scenes --output scenes.png --boxes`."""

import argparse
from pathlib import Path

from PIL import Image

from hf_hyperbolic.data import draw
from hf_hyperbolic.data.scenes.compose import SPLITS, Scene, render_scene


def sheet(split: str, columns: int, rows: int, seed: int, size: int, boxes: bool) -> Image.Image:
    """The first `columns * rows` scenes of a split side by side, their boxes drawn over them if asked for."""
    picture = Image.new("RGB", (columns * size, rows * size))
    for index in range(columns * rows):
        scene = render_scene(seed, index, split, size)
        if boxes:
            draw_boxes(scene)
        picture.paste(scene.image, (index % columns * size, index // columns * size))
    return picture


def draw_boxes(scene: Scene) -> None:
    """Outlines on the scene's own image, coloured by depth."""
    levels: list[int] = []
    # a thing stands before its parts
    for parent in scene.parents:
        levels.append(levels[parent] + 1 if parent >= 0 else 1)
    draw.draw_boxes(scene.image, scene.boxes, levels)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m hf_hyperbolic.data.scenes", description=__doc__)
    parser.add_argument("--output", default="scenes.png", help="image file to write")
    parser.add_argument("--split", default="train", choices=SPLITS)
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=192, help="side of a scene in pixels")
    parser.add_argument("--boxes", action="store_true", help="draw the boxes, coloured by depth")
    args = parser.parse_args()
    Path(args.output).parent.mkdir(parents=True, exist_ok=True)
    sheet(args.split, args.columns, args.rows, args.seed, args.size, args.boxes).save(args.output)
    print(f"wrote {args.output}")


if __name__ == "__main__":
    main()

import sys

from PIL import Image

from hf_hyperbolic.data.scenes import __main__ as sheets
from hf_hyperbolic.data.scenes import render_scene


def test_the_sheet_shows_the_scenes_in_order():
    picture = sheets.sheet("val", columns=2, rows=2, seed=0, size=64, boxes=False)
    assert picture.size == (128, 128)
    assert picture.crop((64, 64, 128, 128)).tobytes() == render_scene(0, 3, "val", 64).image.tobytes()


def test_boxes_are_drawn_where_they_are():
    scene = render_scene(0, 0)
    before = scene.image.copy()
    sheets.draw_boxes(scene)
    drawn = sum(
        scene.image.getpixel((int(x0), int(y0))) != before.getpixel((int(x0), int(y0))) for x0, y0, *_ in scene.boxes
    )
    assert drawn > 0.8 * len(scene.boxes)


def test_the_command_writes_an_image(tmp_path, monkeypatch, capsys):
    output = tmp_path / "new" / "sheet.png"
    monkeypatch.setattr(
        sys, "argv", ["sheet", "--output", str(output), "--rows", "1", "--columns", "2", "--size", "48"]
    )
    sheets.main()
    assert Image.open(output).size == (96, 48)
    assert str(output) in capsys.readouterr().out

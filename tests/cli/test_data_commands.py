import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hf_hyperbolic.cli.convert import public_name
from hf_hyperbolic.cli.main import main
from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.exported import metadata


def run(capsys, *arguments):
    status = main(["data", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_inspect(source, capsys):
    status, printed, _ = run(capsys, "inspect", source, "--split", "val")
    assert status == 0
    lines = {line[:17].strip(): line[17:] for line in printed.splitlines()}
    assert lines["images"] == "3 (3 at hand, 1 without boxes)"
    assert lines["boxes"] == "8 (0 are the whole image)"
    assert lines["boxes by level"] == "level 1: 4, level 2: 2, level 3: 2"
    assert lines["pairs of boxes"] == "4 direct, 2 transitive"
    assert lines["pairs with scene"] == "4 direct, 4 transitive"
    assert lines["most frequent"] == "handle 4, house 2, door 2"
    assert lines["problems"] == "none"


def test_inspect_as_json(source, change, capsys):
    def edit(content):
        content["annotations"][0]["bbox"] = [0, 0, -1, 5]
        content["annotations"][1]["bbox"] = [0, 0, 200, 90]

    change(edit)
    status, printed, _ = run(capsys, "inspect", source, "--split", "val", "--json")
    summary = json.loads(printed)
    assert status == 0
    assert summary["boxes"] == 7
    assert summary["classes"] == {"handle": 4, "door": 2, "house": 1}
    assert {reason: entry["count"] for reason, entry in summary["problems"].items()} == {"zero_area": 1, "clipped": 1}
    text = run(capsys, "inspect", source, "--split", "val")[1]
    assert "  1 zero_area\n    zero_area: " in text
    assert "instances_val.json: annotations[0] (id 0)" in text


def test_options_of_the_reader(source, change, capsys):
    change(lambda content: content["annotations"][0].update(iscrowd=1))
    command = ("inspect", source, "--split", "val", "--option")
    assert "boxes            7" in run(capsys, *command[:-1])[1]
    assert "boxes            8" in run(capsys, *command, "include_crowd=true")[1]
    status, _, error = run(capsys, *command, "include_parts=true")
    assert (status, "format coco takes no include_parts" in error) == (2, True)
    with pytest.raises(SystemExit):
        main(["data", *map(str, command), "include_crowd"])
    assert "expected NAME=VALUE, got 'include_crowd'" in capsys.readouterr().err


def test_a_threshold_changes_what_is_a_part(source, change, capsys):
    def edit(content):
        content["annotations"][3]["bbox"] = [50, 0, 20, 20]  # half of it in the house

    change(edit)
    loose = run(capsys, "inspect", source, "--split", "val", "--threshold", "0.5")[1]
    strict = run(capsys, "inspect", source, "--split", "val")[1]
    assert "5 direct" in loose
    assert "4 direct" in strict


def test_guards_show_the_pairs_with_and_without(source, capsys):
    command = ("inspect", source, "--split", "val")
    assert "with guards" not in run(capsys, *command)[1]
    lines = run(capsys, *command, "--deny", "door > handle")[1].splitlines()
    assert lines[4:6] == [
        "pairs of boxes   4 direct, 2 transitive",
        # the handle in each door hangs from the house now
        "  with guards    4 direct, 0 transitive; dropped: 2 by deny",
    ]
    printed = run(capsys, *command, "--deny", "house>handle")[1]
    assert "  with guards    4 direct, 2 transitive; dropped: 2 by deny, of which 2 come back by way of" in printed
    printed = run(capsys, *command, "--deny", "*>handle", "--min-share", "1", "--min-lift", "0.1", "--json")[1]
    assert json.loads(printed)["with_guards"]["pairs_of_boxes"] == {"direct": 2, "transitive": 0}
    status, printed, error = run(capsys, *command, "--deny", "door>knob")
    assert (status, printed) == (2, "")
    assert "deny names class 'knob', which the table does not have: door, handle, house" in error
    status, _, error = run(capsys, *command, "--min-share", "2")
    assert (status, error) == (2, "error: min_share must lie in [0, 1], got 2.0\n")
    with pytest.raises(SystemExit):
        run(capsys, *command, "--deny", "door")
    assert "expected 'PARENT>CHILD' in quotes, got 'door'" in capsys.readouterr().err


def test_validate_a_clean_set(source, capsys):
    status, printed, progress = run(capsys, "validate", source, "--split", "val")
    assert status == 0
    assert printed == "coco: 3 images, 8 boxes, 0 problems\n"
    assert "checking images" in progress


def test_validate_lists_every_fault(source, change, capsys):
    def edit(content):
        content["annotations"][2]["bbox"] = [0, 0, 0, 5]
        content["annotations"][3]["iscrowd"] = 1
        content["annotations"][4]["bbox"] = [0, 0, 1, 1]  # small, and not wrong

    change(edit)
    file = source / "images" / "val1.png"
    file.write_bytes(file.read_bytes()[:-40])
    Image.new("RGB", (50, 100)).save(source / "images" / "val2.png")
    status, printed, _ = run(capsys, "validate", source, "--split", "val", "--num-workers", "2")
    assert status == 1
    lines = printed.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith(f"zero_area: {source}/instances_val.json: annotations[2] (id 2): ")
    assert str(file) in lines[1]
    assert lines[2].startswith(f"size_mismatch: {source}/images/val2.png: shows 50 x 100")
    assert lines[3] == "coco: 3 images, 6 boxes, 3 problems; 1 crowd left out by choice"


def test_validate_looks_at_captions_where_asked(source, capsys):
    content = json.loads((source / "instances_val.json").read_text())
    ids = [image["id"] for image in content["images"]]
    rows = [{"id": number, "image_id": image, "caption": "a thing"} for number, image in enumerate(ids[:2])]
    file = source / "captions_val.json"
    file.write_text(json.dumps({"images": content["images"], "annotations": rows}))
    status, printed, _ = run(capsys, "validate", source, "--split", "val", "--captions", source)
    assert (status, printed.splitlines()[-1]) == (
        0, "2 captions of 2 images, 1 images without one; left out nothing"
    )  # fmt: skip
    rows.append({"id": 2, "image_id": ids[0], "caption": " "})
    file.write_text(json.dumps({"images": content["images"], "annotations": rows}))
    status, printed, _ = run(capsys, "validate", source, "--split", "val", "--captions", file)
    lines = printed.splitlines()
    assert status == 1
    assert lines[0].startswith(f"empty_caption: {file}: annotations[2] (id 2): ")
    assert lines[1] == "coco: 3 images, 8 boxes, 1 problem"
    status, _, error = run(capsys, "validate", source, "--split", "val", "--captions", source / "images")
    assert status == 2
    assert "no captions of val" in error
    assert "checking images" not in error, "captions that are none are told of before images are decoded"


def test_what_options_leave_out_is_no_fault(tmp_path, capsys):
    boxes = "<xmin>1</xmin><ymin>1</ymin><xmax>60</xmax><ymax>60</ymax>"
    head = f"<part><name>head</name><bndbox>{boxes.replace('60', '20')}</bndbox></part>"
    things = [("person", head), ("dog", "<difficult>1</difficult>"), ("cat", "")]
    objects = "".join(f"<object><name>{name}</name>{more}<bndbox>{boxes}</bndbox></object>" for name, more in things)
    for folder in ("Annotations", "JPEGImages"):
        (tmp_path / "voc" / folder).mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(tmp_path / "voc" / "JPEGImages" / "a.jpg")
    (tmp_path / "voc" / "Annotations" / "a.xml").write_text(f"<annotation>{objects}</annotation>")
    choice = ["--option", "include_parts=false", "--option", "include_difficult=false"]
    status, printed, _ = run(capsys, "validate", tmp_path / "voc", "--split", "train", *choice)
    assert (status, printed) == (
        0,
        "voc: 1 images, 2 boxes, 0 problems; 1 part left out by choice; 1 difficult left out by choice\n",
    )
    choice += ["--option", 'class_names=["person"]']
    status, printed, _ = run(capsys, "validate", tmp_path / "voc", *choice)
    assert (status, "1 unknown_class left out by choice" in printed) == (0, True)

    (tmp_path / "open" / "images").mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(tmp_path / "open" / "images" / "a.jpg")
    rows = ["ImageID,LabelName,XMin,XMax,YMin,YMax,IsDepiction", "a,/m/1,0.1,0.9,0.1,0.9,0", "a,/m/1,0.1,0.3,0.1,0.9,1"]
    (tmp_path / "open" / "val-bbox.csv").write_text("\n".join([*rows, "a,/m/2,0.1,0.101,0.1,0.101,0"]))
    choice = ["--option", "include_depiction=false"]
    status, printed, _ = run(capsys, "validate", tmp_path / "open", *choice)
    # a small box is not a wrong one
    assert (status, printed) == (0, "open_images: 1 images, 2 boxes, 0 problems; 1 depiction left out by choice\n")
    status, printed, _ = run(capsys, "validate", tmp_path / "open", "--option", "min_share=0.01", *choice)
    assert (status, "1 too_small left out by choice" in printed) == (0, True)


def test_convert_to_coco(source, tmp_path, capsys):
    output = tmp_path / "new" / "out.json"
    status, printed, _ = run(capsys, "convert", source, output, "--split", "val", "--to", "coco")
    assert status == 0
    lost = "masks, crowd flags, licences, and the ids of annotations and categories"
    # the images lie in another folder than the file: that has to be said
    advice = f"its images lie elsewhere: read it with --image-folder {source / 'images'}"
    assert printed == f"wrote 3 images with 8 boxes: {output}; without {lost}\n{advice}\n"
    before, after = read_coco(source / "instances_val.json"), read_coco(output, source)
    for name in ("image_ids", "image_files", "image_sizes", "box_image", "boxes", "labels"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    assert run(capsys, "inspect", output)[0] == 2
    assert run(capsys, "inspect", output, "--image-folder", source / "images")[0] == 0


def test_convert_does_not_write_over_its_source(source, capsys):
    file = source / "instances_val.json"
    before = file.read_bytes()
    status, printed, error = run(capsys, "convert", file, file, "--to", "coco")
    assert (status, printed) == (2, "")
    assert error == f"error: {file} exists and is not replaced: write to another file, or remove it first\n"
    assert file.read_bytes() == before


def test_convert_says_what_is_left_out(source, change, tmp_path, capsys):
    change(lambda content: content["annotations"][0].update(iscrowd=1))
    printed = run(capsys, "convert", source, tmp_path / "out.json", "--split", "val", "--to", "coco")[1]
    assert "not as in the source: 1 crowd" in printed


def test_convert_to_parquet(source, tmp_path, capsys):
    folder = tmp_path / "set"
    command = ("convert", source, folder, "--split", "val", "--to", "parquet", "--license", "cc-by-4.0")
    status, printed, _ = run(capsys, *command)
    file = folder / "data" / "val-00000-of-00001.parquet"
    assert (status, printed) == (0, f"wrote 3 images with 8 boxes: {file}\n")
    about = metadata(file)
    assert (about["license"], about["threshold"]) == ("cc-by-4.0", 0.8)
    status, _, error = run(capsys, "convert", source / "instances_val.json", folder, "--to", "parquet")
    assert (status, "name it by --split" in error) == (2, True)


def test_a_card_tells_no_folders(source, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(source)
    for number, name in enumerate((source, source / "instances_val.json", ".")):
        folder = tmp_path / f"set{number}"
        assert run(capsys, "convert", name, folder, "--split", "val", "--to", "parquet")[0] == 0
        card = (folder / "README.md").read_text()
        assert str(tmp_path) not in card
        shown = "instances_val.json" if number == 1 else "source"
        assert f"**val**, from {shown} (format coco)." in card
        file = next((folder / "data").iterdir())
        assert str(tmp_path) not in metadata(file)["built_from"]
    assert public_name("someone/photos", "hub") == "someone/photos"


def test_an_exported_set_keeps_the_threshold_and_the_denied_pairs(source, change, tmp_path, capsys):
    def edit(content):
        content["annotations"][3]["bbox"] = [50, 0, 20, 20]  # half of it in the house

    change(edit)
    folder = tmp_path / "set"
    command = ("convert", source, folder, "--split", "val", "--to", "parquet", "--threshold", 0.5)
    assert run(capsys, *command, "--deny", "door>handle")[0] == 0
    assert "`door>handle`" in (folder / "README.md").read_text()
    rows = pq.read_table(folder / "data" / "val-00000-of-00001.parquet")
    stored = sum(parent > 0 for row in rows["direct"].to_pylist() for parent, _ in row)
    # house > door, house > handle in the door, house > the other handle; and the second image without the last
    assert stored == 5
    expected = "pairs of boxes   5 direct, 0 transitive"
    command = ("inspect", source, "--split", "val", "--threshold", 0.5, "--deny", "door>handle")
    assert expected.split("boxes")[1].strip() in run(capsys, *command)[1]
    for more in ((), ("--threshold", 0.5)):
        status, printed, _ = run(capsys, "inspect", folder, "--split", "val", *more)
        assert (status, expected in printed.splitlines()) == (0, True)
    printed = run(capsys, "inspect", folder, "--split", "val", "--deny", "house>door")[1]
    assert "  with guards    3 direct, 0 transitive" in printed
    for name, *arguments in (("inspect",), ("pairs",), ("draw", tmp_path / "a.png"), ("convert", tmp_path / "b")):
        more = ("--to", "parquet") if name == "convert" else ()
        command = (name, folder, *arguments, "--split", "val", "--threshold", 0.8, *more)
        status, printed, error = run(capsys, *command)
        assert (status, printed) == (2, "")
        assert f"{folder} was exported with threshold 0.5, not 0.8: leave --threshold out" in error
    # handed on from export to export
    assert run(capsys, "convert", folder, tmp_path / "b", "--split", "val", "--to", "parquet")[0] == 0
    about = metadata(tmp_path / "b" / "data" / "val-00000-of-00001.parquet")
    assert (about["threshold"], about["deny"]) == (0.5, [["door", "handle"]])


def test_convert_takes_no_pairs_of_unknown_classes(source, tmp_path, capsys):
    command = ("convert", source, tmp_path / "set", "--split", "val", "--deny", "door>knob", "--to")
    status, _, error = run(capsys, *command, "parquet")
    assert (status, "deny names class 'knob', which the table does not have" in error) == (2, True)
    assert not (tmp_path / "set").exists()
    assert run(capsys, *command, "coco")[0] == 2


def test_convert_counts_and_names_the_images_it_had_to_leave_out(source, tmp_path, capsys):
    broken = source / "images" / "val1.png"
    broken.write_bytes(broken.read_bytes()[:-40])
    status, printed, error = run(capsys, "convert", source, tmp_path / "set", "--split", "val", "--to", "parquet")
    assert status == 1
    file = tmp_path / "set" / "data" / "val-00000-of-00001.parquet"
    rows = pq.read_table(file)
    assert (rows.num_rows, sum(map(len, rows["labels"].to_pylist()))) == (2, 4)
    (wrote, counted) = printed.splitlines()
    assert wrote == f"wrote 2 images with 4 boxes: {file}"
    assert counted.startswith("not as in the source: 1 ")
    named = [line for line in error.splitlines() if f": {broken}: " in line]
    assert len(named) == 1
    assert error.splitlines()[-1] == "1 of 3 images cannot be used and were left out"


@pytest.mark.parametrize("name", ["sheet.png", "new/sheet.jpg"])
def test_draw(name, source, tmp_path, capsys):
    output = tmp_path / name
    options = ("--split", "val", "--rows", 1, "--columns", 2, "--cell", 64)
    assert run(capsys, "draw", source, output, *options) == (0, f"wrote {output}\n", "")
    assert Image.open(output).width == 2 * 64 + 3 * 8


def test_draw_writes_pictures_only(source, tmp_path, capsys):
    status, _, error = run(capsys, "draw", source, tmp_path / "sheet.pdf", "--split", "val")
    assert (status, "must end in .png or .jpg" in error) == (2, True)


def test_threshold(source, change, tmp_path, capsys):
    def edit(content):
        content["annotations"][3]["bbox"] = [45, 0, 20, 20]  # three quarters of it in the house

    change(edit)
    folder = tmp_path / "study"
    status, printed, _ = run(capsys, "threshold", source, folder, "--split", "val", "--thresholds", 0.5, 0.7, 0.9)
    assert status == 0
    assert "0.7 to 0.9: 1 direct pairs lost" in printed
    assert "0.7 to 0.9: 0 direct pairs gained" in printed
    assert "0.7 to 0.9: house > handle 1 to 0" in printed
    assert sorted(path.name for path in folder.iterdir()) == [
        "lost.png", "thresholds.json", "thresholds.png", "thresholds.txt"
    ]  # fmt: skip
    document = json.loads((folder / "thresholds.json").read_text())
    assert [row["direct"] for row in document["thresholds"]] == [5, 5, 4]
    assert (folder / "thresholds.txt").read_text() in printed
    assert Image.open(folder / "thresholds.png").width > 1000


@pytest.mark.parametrize("options", [("--between", 0.9, 0.8), ("--thresholds", 0.5)])
def test_threshold_arguments(options, source, tmp_path, capsys):
    status, _, error = run(capsys, "threshold", source, tmp_path / "study", "--split", "val", *options)
    assert (status, "at least two thresholds" in error) == (2, True)
    assert not (tmp_path / "study").exists()


def test_threshold_without_matplotlib(source, tmp_path, capsys, monkeypatch):
    import sys

    for name in [name for name in sys.modules if name.startswith(("matplotlib", "hf_hyperbolic.report"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, printed, _ = run(capsys, "threshold", source, tmp_path / "study", "--split", "val")
    assert status == 0
    assert 'no figure: it needs matplotlib: pip install "hf-hyperbolic[demo]"' in printed
    assert not (tmp_path / "study" / "thresholds.png").exists()


def test_pairs(source, capsys):
    status, printed, _ = run(capsys, "pairs", source, "--split", "val", "--sort", "share")
    assert status == 0
    rows = [line.split() for line in printed.splitlines()[1:]]
    # the handle in the house is the door's; the other handle lies outside
    assert [" ".join(row[7:]) for row in rows] == ["house > door", "house > handle", "door > handle"]
    assert [row[:4] for row in rows] == [["2", "2", "2", "2"], ["2", "4", "2", "2"], ["2", "4", "2", "2"]]


def test_what_has_an_argument_of_its_own_is_no_option(source, capsys):
    status, _, error = run(capsys, "inspect", source, "--split", "val", "--option", "min_size=8")
    assert (status, error) == (2, "error: --option min_size: give it as --min-size, or the source by its place\n")

import csv
import gzip
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hyperbolic.data import clipping, csv_blocks, open_images
from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.hierarchy import build_hierarchy
from hf_hyperbolic.data.open_images import read_open_images

HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
CLICKS = "," + ",".join(f"XClick{point}{axis}" for point in range(1, 5) for axis in "XY")
# images not together, classes not in order
GOOD = [
    "b1,xclick,/m/cat,1,0.1,0.5,0.2,0.6,0,0,0,0,0",
    "a2,xclick,/m/axe,1,0,1,0.25,0.75,1,-1,-1,-1,0",
    "b1,activemil,/m/axe,1,0.3,0.4,0.3,0.4,0,0,0,1,1",
]


@pytest.fixture
def write(tmp_path):
    def to_file(rows, header=HEADER, name="boxes.csv") -> Path:
        file = tmp_path / name
        file.write_text("\n".join([header, *rows]) + "\n")
        return file

    return to_file


def columns(table: BoxTable) -> list[tuple]:
    ids = table.image_ids[table.box_image].tolist()
    names = [table.class_names[label] for label in table.labels]
    return list(zip(ids, names, map(tuple, table.boxes.tolist()), strict=True))


def test_reads_what_is_written(write):
    table = read_open_images(write(GOOD))
    assert table.relative
    assert table.image_ids.tolist() == ["b1", "a2"]
    assert table.image_files.tolist() == ["", ""]
    assert table.image_sizes.tolist() == [[1, 1], [1, 1]]
    assert table.class_names == ("/m/axe", "/m/cat")
    assert table.box_image.tolist() == [0, 0, 1]
    assert table.labels.tolist() == [1, 0, 0]
    np.testing.assert_array_equal(
        table.boxes, np.array([[0.1, 0.2, 0.5, 0.6], [0.3, 0.3, 0.4, 0.4], [0, 0.25, 1, 0.75]], np.float32)
    )
    assert (table.problems, table.federation) == ((), None)
    for name, dtype in {"image_sizes": "int32", "box_image": "int32", "boxes": "float32", "labels": "int32"}.items():
        assert getattr(table, name).dtype == dtype


def test_train_columns_and_any_order_and_quotes_and_line_ends(write, tmp_path):
    expected = columns(read_open_images(write(GOOD)))
    assert columns(read_open_images(write([row + ",0.1" * 8 for row in GOOD], HEADER + CLICKS))) == expected
    turned = [",".join(reversed(row.split(","))) for row in GOOD]
    assert columns(read_open_images(write(turned, ",".join(reversed(HEADER.split(",")))))) == expected
    file = tmp_path / "quoted.csv"
    with open(file, "w", newline="", encoding="utf-8-sig") as stream:
        csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([HEADER.split(","), *(row.split(",") for row in GOOD)])
    assert b"\r\n" in file.read_bytes()
    assert columns(read_open_images(file)) == expected
    # without the columns of flags
    short = [
        "ImageID,LabelName,XMin,XMax,YMin,YMax",
        *(",".join(np.take(row.split(","), [0, 2, 4, 5, 6, 7])) for row in GOOD),
    ]
    assert columns(read_open_images(write(short[1:], short[0]))) == expected


def test_gzip_reads_the_same(write, tmp_path):
    plain = write(GOOD)
    packed = tmp_path / "boxes.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert columns(read_open_images(packed)) == columns(read_open_images(plain))
    packed.write_bytes(packed.read_bytes()[:-12])
    with pytest.raises(ValueError, match=r"boxes\.csv\.gz: the gzip data is damaged or cut short"):
        read_open_images(packed)


@pytest.mark.parametrize("header", ["", "label,name\n", "LabelName,DisplayName\n"])
def test_class_file_gives_names_and_order(write, tmp_path, header):
    classes = tmp_path / "classes.csv"
    classes.write_text(f'{header}/m/dog,Dog\n/m/cat,"Cat, tame"\n')
    table = read_open_images(write(GOOD), class_file=classes)
    assert table.class_names == ("Dog", "Cat, tame")
    assert table.labels.tolist() == [1]
    # the image of axes only is still a scene
    assert table.image_ids.tolist() == ["b1", "a2"]
    assert table.skipped() == {"unknown_class": 2}
    assert "boxes.csv: line 3" in table.problems[0].where
    assert "/m/axe" in table.problems[0].detail


def test_images_are_looked_for(write, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    file = write(GOOD)
    with pytest.raises(ValueError, match=r"none of its 2 images lies in .*images as <ImageID>\.jpg"):
        read_open_images(file, folder)
    (folder / "a2.jpg").touch()
    table = read_open_images(file, folder)
    assert table.image_files.tolist() == [str(folder / "a2.jpg")]
    assert columns(table) == [("a2", "/m/axe", (0, 0.25, 1, 0.75))]
    assert [str(problem) for problem in table.problems] == [
        f"missing_file: {file}: image b1: no file {folder / 'b1.jpg'}: its boxes are left out"
    ]
    with pytest.raises(FileNotFoundError, match=r"image_folder .*nowhere: no such folder"):
        read_open_images(file, tmp_path / "nowhere")


BAD = {
    "wrong_length": "b1,xclick,/m/cat,1,0.1,0.5",
    "no_image_id": ",xclick,/m/cat,1,0.1,0.5,0.2,0.6,0,0,0,0,0",
    "unknown_class": "b1,xclick,,1,0.1,0.5,0.2,0.6,0,0,0,0,0",
    "group_of": "b1,xclick,/m/cat,1,0.1,0.51,0.2,0.6,0,0,1,0,0",
    "not_a_box": "b1,xclick,/m/cat,1,left,0.5,0.2,0.6,0,0,0,0,0",
    "zero_area": "b1,xclick,/m/cat,1,0.5,0.1,0.2,0.6,0,0,0,0,0",
    "outside_image": "b1,xclick,/m/cat,1,1.5,1.7,0.2,0.6,0,0,0,0,0",
    "too_small": "b1,xclick,/m/cat,1,0.1,0.102,0.2,0.6,0,0,0,0,0",
    "clipped": "b1,xclick,/m/cat,1,-0.1,0.5,0.2,0.6,0,0,0,0,0",
    "unknown_flag": "b1,xclick,/m/cat,1,0.1,0.53,0.2,0.6,0,0,yes,0,0",
    "repeated_box": GOOD[0].replace("xclick", "activemil"),
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_row_is_counted_with_its_line(write, reason):
    # blank lines and another cut line before it must not shift the line number
    table = read_open_images(write([*GOOD, "", "short", BAD[reason], "", GOOD[0].replace("0.6", "0.7")]))
    assert table.skipped() == Counter({"wrong_length": 1}) + Counter([reason])
    problem = [problem for problem in table.problems if problem.reason == reason][-1]
    if reason == "repeated_box":
        assert "image b1" in problem.where
    else:
        assert problem.where.endswith("boxes.csv: line 7")
        assert BAD[reason] in problem.detail
    assert table.num_boxes == 4 + (reason in ("clipped", "unknown_flag"))
    assert table.image_ids.tolist() == ["b1", "a2"]


@pytest.mark.parametrize("value", ["", "nan", "inf", "0,5", "1e400", "0x1p3"])
def test_values_that_are_no_numbers(write, value):
    row = f'b1,xclick,/m/cat,1,"{value}",0.5,0.2,0.6,0,0,0,0,0'
    table = read_open_images(write([*GOOD, row]))
    assert table.skipped() == {"not_a_box": 1}
    assert table.num_boxes == 3
    # the numbers of other rows survive the slower way
    np.testing.assert_array_equal(table.boxes, read_open_images(write(GOOD)).boxes)


@pytest.mark.parametrize("unit", [100, 640])
def test_boxes_in_other_units_are_refused_though_some_pass_for_shares(write, unit):
    corners = np.random.default_rng(0).uniform(0, 0.5, (80, 2)) @ np.array([[1, 1, 0, 0], [0, 0, 1, 1]]) * unit
    corners[:, [1, 3]] += 0.3 * unit
    rows = [f"i{n},x,/m/cat,1,{a},{b},{c},{d},0,0,0,0,0" for n, (a, b, c, d) in enumerate(corners.tolist())]
    rows += ["i0,x,/m/cat,1,0.2,0.9,0.2,0.9,0,0,0,0,0", "i1,x,/m/cat,1,0.2,0.9,0.1,0.9,0,0,0,0,0"]
    # groups, which are left out before their corners are looked at, must not hide it
    rows += [f"i{n},x,/m/cat,1,0.1,0.2,0.1,0.2,0,0,1,0,0" for n in range(200)]
    with pytest.raises(ValueError, match=r"boxes\.csv: 80 of 82 boxes reach out .*; boxes must be shares of"):
        read_open_images(write(rows))
    # some over the border are cut
    table = read_open_images(write([*GOOD, "b1,x,/m/cat,1,-0.1,0.5,0.2,0.6,0,0,0,0,0"]))
    assert (table.num_boxes, table.skipped()) == (4, {"clipped": 1})


def test_groups_and_depictions(write):
    file = write([*GOOD, BAD["group_of"]])
    assert read_open_images(file, include_group_of=True).num_boxes == 4
    table = read_open_images(file, include_depiction=False)
    assert table.skipped() == {"group_of": 1, "depiction": 1}
    # in Python and on the command line
    for problem in table.problems:
        assert f"include_{problem.reason}=True (--option include_{problem.reason}=true) keeps it" in problem.detail
    assert table.num_boxes == 2


def test_many_problems_of_a_kind_become_one(write, monkeypatch):
    monkeypatch.setattr(csv_blocks, "_BLOCK_BYTES", 300)
    table = read_open_images(write([*GOOD, *[BAD["zero_area"]] * 100, BAD["group_of"]]))
    assert table.skipped() == {"zero_area": 100, "group_of": 1}
    assert len(table.problems) == 22
    assert [problem.count for problem in table.problems] == [1] * 20 + [80, 1]
    assert table.problems[20].where.endswith("line 25")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (HEADER.encode() + b"\n", "lists no boxes: the split is empty"),
        (b"ImageID,LabelName,XMin,XMax,YMin\n", "line 1 lacks the column YMax; found ImageID, LabelName"),
        (b'{"images": []}\n', "line 1 lacks the columns ImageID, LabelName"),
        (b"ImageID,ImageID,LabelName,XMin,XMax,YMin,YMax\n", "line 1 names ImageID twice"),
        (b"ImageID" * 20000, "line 1 is no header of a CSV file"),
        (f"{HEADER}\nb1\nb2\n".encode(), r"none of its lines is a row of boxes \(skipped: 2 wrong_length\)"),
        (b"PK\x03\x04 zip", "a zip archive: unpack it first"),
        ("\n".join([HEADER, *GOOD]).encode("utf-16"), "not UTF-8 but UTF-16"),
        ("\n".join([HEADER, *GOOD]).encode("utf-16-le"), "not UTF-8 but UTF-16"),
        (
            "\n".join([HEADER, *GOOD, GOOD[0].replace("cat", "chât")]).encode("latin-1"),
            r"line 5 is not UTF-8 \(byte 0xe2",
        ),
        ("\n".join([HEADER, '"b1,x', *GOOD]).encode(), "about line 2: a quotation mark is opened and not closed"),
        ("\n".join([HEADER, "b1,x,/m/cat,1,10,500,20,60,0,0,0,0,0"]).encode(), "1 of 1 boxes reach out .* not pixels"),
        ("\n".join([HEADER, "b1,x,/m/cat,1,a,b,c,d,0,0,0,0,0"]).encode(), r"skipped: 1 not_a_box\)$"),
    ],
)
def test_unusable_files_are_named(tmp_path, content, message):
    file = tmp_path / "boxes.csv"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"boxes\.csv:? .*{message}|boxes\.csv: {message}"):
        read_open_images(file)


def test_missing_files_are_named(tmp_path, write):
    with pytest.raises(FileNotFoundError, match=r"none\.csv: no such file"):
        read_open_images(tmp_path / "none.csv")
    with pytest.raises(FileNotFoundError, match="a folder, not a file"):
        read_open_images(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"labels\.csv: no such file"):
        read_open_images(write(GOOD), image_labels=tmp_path / "labels.csv")


numbers = st.sampled_from(["0", "0.1", "0.25", "0.5", "0.75", "1", "1.2", "-0.1", "x", ""])
row = st.tuples(
    st.sampled_from("abc"), st.sampled_from("xyz"), numbers, numbers, numbers, numbers, st.sampled_from("01")
)


@settings(max_examples=100, deadline=None)
@given(st.lists(row, min_size=1, max_size=25), st.sampled_from([1, 60, 1 << 24]))
def test_matches_a_loop_over_rows(tmp_path_factory, rows, block_bytes):
    file = tmp_path_factory.mktemp("boxes") / "boxes.csv"
    # one row that is always usable
    rows = [("d", "w", "0", "1", "0", "1", "0"), *rows]
    header = "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf"
    file.write_text("\n".join([header, *map(",".join, rows)]))
    expected, seen, images = [], set(), []
    for image, label, *sides, group in rows:
        images += [image] if image not in images else []
        try:
            x0, x1, y0, y1 = map(float, sides)
        except ValueError:
            continue
        box = (max(x0, 0), max(y0, 0), min(x1, 1), min(y1, 1))
        usable = x0 < x1 and y0 < y1 and box[2] - box[0] > 0 and box[3] - box[1] > 0 and group == "0"
        if usable and (image, label, box) not in seen:
            seen.add((image, label, box))
            expected.append((image, label, tuple(np.array(box, np.float32).tolist())))
    expected.sort(key=lambda found: images.index(found[0]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_blocks, "_BLOCK_BYTES", block_bytes)
        table = read_open_images(file)
    assert table.image_ids.tolist() == images
    assert columns(table) == expected
    assert sum(table.skipped().values()) - table.skipped()["clipped"] == len(rows) - len(expected)
    assert table.class_names == tuple(sorted({label for _, label, *_ in rows}))


def test_equal_hashes_of_different_rows_stay(write, monkeypatch):
    # a hash that says nothing must not make duplicates
    monkeypatch.setattr(clipping, "_hash", lambda image, *_: np.zeros(len(image), np.uint64))
    table = read_open_images(write([*GOOD, GOOD[0]]))
    assert table.num_boxes == 3
    assert table.skipped() == {"repeated_box": 1}


DATA = os.environ.get("HF_HYPERBOLIC_DATA")
real_data = pytest.mark.skipif(DATA is None, reason="HF_HYPERBOLIC_DATA is not set")


@pytest.mark.real_data
@real_data
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("classes", ["bodyparts-class-descriptions.csv", "class-descriptions-boxable.csv"])
def test_published_rows_against_the_csv_module(split, classes):
    folder = Path(str(DATA)) / "formats" / "openimages"
    file = folder / f"bodyparts-{split}-annotations-bbox.csv"
    table = read_open_images(file, class_file=folder / classes, min_share=0)
    with open(file, newline="") as stream:
        rows = list(csv.DictReader(stream))
    with open(folder / classes, newline="") as stream:
        names = dict(csv.reader(stream))
    kept = [row for row in rows if row["IsGroupOf"] == "0"]
    assert table.skipped() == {"group_of": len(rows) - len(kept)}
    assert table.num_images == len({row["ImageID"] for row in rows})
    expected = Counter(
        (
            row["ImageID"],
            names[row["LabelName"]],
            tuple(np.float32([row[side] for side in open_images._CORNERS]).tolist()),
        )
        for row in kept
    )
    assert Counter(columns(table)) == expected
    assert build_hierarchy(table).level.max() >= 2

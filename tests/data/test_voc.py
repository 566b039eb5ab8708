import os
import re
import xml.dom.minidom
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from hf_hyperbolic.data.crops import crop
from hf_hyperbolic.data.hierarchy import build_hierarchy
from hf_hyperbolic.data.image_reader import ImageReader
from hf_hyperbolic.data.voc import VOC_CLASSES, VOC_PARTS, read_voc

WIDTH, HEIGHT = 100, 80


def bndbox(xmin, ymin, xmax, ymax) -> str:
    return f"<bndbox><xmax>{xmax}</xmax><xmin>{xmin}</xmin><ymin>{ymin}</ymin><ymax>{ymax}</ymax></bndbox>"


def thing(name="dog", box=(11, 21, 30, 40), extra="", tag="object") -> str:
    return f"<{tag}><name>{name}</name>{extra}{bndbox(*box)}</{tag}>"


def part(name, box) -> str:
    return thing(name, box, tag="part")


def page(*things: str, name="a.jpg", size=f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>") -> str:
    return f"<annotation><filename>{name}</filename>{size}{''.join(things)}</annotation>"


PERSON = thing(
    "person", (1, 1, WIDTH, HEIGHT), part("head", (10.5, 5.25, 30.5, 25.25)) + part("hand", (40, 40, 49, 49))
)


@pytest.fixture
def voc(tmp_path):
    """A folder with the images a, b and c; `voc(a=..., b=...)` writes their annotation files."""
    root = tmp_path / "VOC2012"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for name in "abc":
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / "JPEGImages" / f"{name}.jpg")

    def write(**files: str | bytes) -> Path:
        for name, content in files.items():
            file = root / "Annotations" / f"{name}.xml"
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return root

    return write


def test_reads_what_is_written(voc):
    root = voc(b=page(thing("dog"), PERSON), a=page(), c=page(thing("cat", (1, 1, 10, 10))))
    table = read_voc(root, check_images=True)
    assert table.problems == ()
    assert table.image_ids.tolist() == ["a", "b", "c"]
    assert table.image_files.tolist() == [str(root / "JPEGImages" / f"{name}.jpg") for name in "abc"]
    assert table.image_sizes.tolist() == [[WIDTH, HEIGHT]] * 3
    assert table.class_names == VOC_CLASSES + VOC_PARTS
    assert [table.class_names[label] for label in table.labels] == ["dog", "person", "head", "hand", "cat"]
    assert table.box_image.tolist() == [1, 1, 1, 1, 2]
    # from 1 and inclusive to from 0 and exclusive: a box over the whole image is 0, 0, width, height
    assert table.boxes.tolist() == [
        [10, 20, 30, 40],
        [0, 0, WIDTH, HEIGHT],
        [9.5, 4.25, 30.5, 25.25],
        [39, 39, 49, 49],
        [0, 0, 10, 10],
    ]
    assert table.boxes.dtype == np.float32
    assert table.labels.dtype == table.box_image.dtype == table.image_sizes.dtype == np.int32


def test_parts_and_difficult_objects_on_demand(voc):
    hard = thing("dog", (1, 1, 50, 50), "<difficult>1</difficult>" + part("head", (5, 5, 20, 20)))
    easy = thing("cat", (1, 1, 60, 60), "<difficult>0</difficult>")
    root = voc(a=page(hard, easy))

    def names(**choice):
        table = read_voc(root, **choice)
        return [table.class_names[label] for label in table.labels], table.skipped()

    assert names() == (["dog", "head", "cat"], {})
    assert names(include_parts=False) == (["dog", "cat"], {"part": 1})
    assert names(include_difficult=False) == (["cat"], {"difficult": 2})
    assert read_voc(root, include_parts=False).class_names == VOC_CLASSES


def test_splits(voc):
    root = voc(a=page(PERSON), b=page(thing()), c=page(thing()))
    main = root / "ImageSets" / "Main"
    (main / "train.txt").write_bytes(b"\xef\xbb\xbfc\r\na\r\n\r\n")
    assert read_voc(root, "train").image_ids.tolist() == ["c", "a"]
    (main / "val.txt").write_text("b\nb\ngone\n c \n")
    table = read_voc(root, "val")
    assert table.image_ids.tolist() == ["b", "c"]
    assert table.skipped() == {"repeated_id": 1, "missing_annotation": 1}
    assert table.problems[0].where.endswith("val.txt: line 2")
    assert table.problems[1].where.endswith("gone.xml")
    (main / "dog_val.txt").write_text("a -1\nb  1\n")
    (main / "empty.txt").write_text("\n\n")
    (main / "binary.txt").write_bytes(b"a\n\xff\xd8")
    with pytest.raises(FileNotFoundError, match=r"test\.txt: no such split; there are: binary, empty, train, val; "):
        read_voc(root, "test")
    with pytest.raises(ValueError, match=r"dog_val\.txt tells for one class .* pass a split"):
        read_voc(root, "dog_val")
    with pytest.raises(ValueError, match=r"empty\.txt lists no images"):
        read_voc(root, "empty")
    with pytest.raises(ValueError, match=r"binary\.txt: not text in UTF-8, at byte 2"):
        read_voc(root, "binary")


def test_classes(voc):
    root = voc(a=page(thing("zebra"), thing("ant", (1, 1, 9, 9))))
    assert read_voc(root).class_names == ("ant", "zebra")
    table = read_voc(root, class_names=["zebra", "yak"])
    assert table.class_names == ("zebra", "yak")
    assert table.labels.tolist() == [0]
    assert table.skipped() == {"unknown_class": 1}
    assert "'ant' is not in class_names" in table.problems[0].detail
    for bad in ("zebra", ["zebra", "zebra"]):
        with pytest.raises(ValueError, match="class_names must be distinct names"):
            read_voc(root, class_names=bad)


# Each case: the second object, the problem's reason, a word of its text.
OBJECTS = [
    ("<object><name>dog</name></object>", "not_a_box", "xmin None"),
    ("<object><name>dog</name><bndbox><xmin>1</xmin></bndbox></object>", "not_a_box", "xmin '1', ymin None"),
    (thing(box=("left", 1, 20, 20)), "not_a_box", "xmin 'left'"),
    (thing(box=("", 1, 20, 20)), "not_a_box", "xmin ''"),
    (thing(box=("nan", 1, 20, 20)), "not_a_box", "finite numbers"),
    (thing(box=(1, "-inf", 20, 20)), "not_a_box", "finite numbers"),
    (thing(box=(1, 1, "1e999", 20)), "not_a_box", "finite numbers"),
    (thing(box=(50, 1, 20, 20)), "zero_area", "xmax must not lie below xmin"),
    (thing(box=(1, 50, 20, 20)), "zero_area", "ymin '50', xmax '20', ymax '20'"),
    (thing(box=(WIDTH + 1, 1, WIDTH + 20, 20)), "outside_image", "lies outside"),
    (thing(box=(1, -20, 20, -1)), "outside_image", "lies outside"),
    (thing(box=(5, 5, 7, 20)), "too_small", "min_size"),
    (thing(""), "no_name", "<name>"),
    (f"<object>{bndbox(1, 1, 20, 20)}</object>", "no_name", "<name>"),
    (thing("cat", (1, 1, 40, 40)), "repeated_box", "cat at bndbox"),
]


@pytest.mark.parametrize(("second", "reason", "word"), OBJECTS)
def test_bad_objects_are_skipped_and_named_by_their_number(voc, second, reason, word):
    table = read_voc(voc(a=page(thing("cat", (1, 1, 40, 40)), second, thing("dog"))))
    assert table.skipped() == {reason: 1}
    (problem,) = table.problems
    assert problem.where.endswith("Annotations/a.xml: object[2]")
    assert word in problem.detail
    assert table.boxes.tolist() == [[0, 0, 40, 40], [10, 20, 30, 40]]


@pytest.mark.parametrize("name", ["../../private.jpg", "sub/../../../private.jpg", "absolute"])
def test_no_filename_leads_out_of_the_folder(voc, tmp_path, name):
    private = tmp_path / "private.jpg"
    Image.new("RGB", (WIDTH, HEIGHT)).save(private)
    name = str(private) if name == "absolute" else name
    root = voc(a=page(thing()), x=page(thing(), name=name), c=page(name=str(private)))
    table = read_voc(root)
    # c has an image of its own, whatever it states
    assert table.image_ids.tolist() == ["a", "c"]
    assert table.skipped() == {"outside_folder": 1, "skipped_image": 1}
    assert f"<filename> {name!r} leads out of" in table.problems[0].detail
    # nor does a line of a list
    (tmp_path / "private.xml").write_text(page(thing()))
    (root / "ImageSets" / "Main" / "val.txt").write_text("a\n../../private\n")
    table = read_voc(root, "val")
    assert (table.image_ids.tolist(), table.skipped()) == (["a"], {"outside_folder": 1})


def test_bad_parts_are_named_by_their_number(voc):
    person = thing("person", (1, 1, 60, 60), part("head", (1, 1, 20, 20)) + part("hand", (9, 9, 5, 5)))
    table = read_voc(voc(a=page(thing(), person)))
    assert table.problems[0].where.endswith("a.xml: object[2]/part[2]")
    assert table.num_boxes == 3


def test_the_smallest_box_is_one_pixel(voc):
    table = read_voc(voc(a=page(thing(box=(7, 8, 7, 8)))), min_size=1)
    assert table.boxes.tolist() == [[6, 7, 7, 8]]


def test_boxes_over_the_border_are_cut_and_counted(voc):
    table = read_voc(voc(a=page(thing(box=(0, 1, WIDTH + 5, 20)))))
    assert table.boxes.tolist() == [[0, 0, WIDTH, 20]]
    assert table.skipped() == {"clipped": 1}


LAUGHS = (
    '<!DOCTYPE a [<!ENTITY l0 "lol">'
    + "".join(f'<!ENTITY l{level} "{f"&l{level - 1};" * 10}">' for level in range(1, 12))
    + "]><annotation><object><name>&l11;</name></object></annotation>"
)
FILES = [
    (LAUGHS, "doctype", "remove the <!DOCTYPE> declaration"),
    ('<?xml version="1.0" encoding="utf-16"?>' + LAUGHS, "doctype", "declares a document type"),
    ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>' + page(thing("&x;")), "doctype", "refused"),
    ('<!DOCTYPE a SYSTEM "http://localhost:1/a.dtd">' + page(thing()), "doctype", "refused"),
    ("<!DOCTYPE annotation>" + page(thing()), "doctype", "refused"),
    (page(thing("&x;")), "broken_annotation", "undefined entity: line 1"),
    ("", "broken_annotation", "no element found: line 1"),
    (page(thing())[:-20], "broken_annotation", "not well-formed XML"),
    ("<annotation>\n<object>\n</annotation>", "broken_annotation", "mismatched tag: line 3"),
    ('{"images": []}', "broken_annotation", "line 1, column 0"),
    (b"\xff\xd8\xff\xe0\0\x10JFIF", "broken_annotation", "not well-formed XML"),
    (b"\0" * 50, "broken_annotation", "not well-formed XML"),
    ('<?xml version="1.0" encoding="klingon"?><annotation/>', "broken_annotation", "unknown encoding"),
    ('<?xml version="1.0" encoding="rot13"?><annotation/>', "broken_annotation", "not a text encoding"),
    ("<html><body/></html>", "not_voc", "its root is <html>, expected <annotation>"),
    ('<annotation xmlns="http://example.org"/>', "not_voc", "its root is <{http://example.org}annotation>"),
    (page(thing(), name="nowhere.jpg"), "missing_file", "<filename> is 'nowhere.jpg'"),
]


@pytest.mark.parametrize(("content", "reason", "word"), FILES)
def test_a_broken_file_among_others_is_one_counted_problem(voc, content, reason, word):
    if isinstance(content, str):
        content = content.encode("utf-16" if "utf-16" in content else "utf-8")
    root = voc(b=page(PERSON), bad=content)
    table = read_voc(root)
    assert table.image_ids.tolist() == ["b"]
    assert {name: count for name, count in table.skipped().items() if name != "skipped_image"} == {reason: 1}
    assert table.problems[0].where == str(root / "Annotations" / "bad.xml")
    assert word in table.problems[0].detail
    # and alone it is one clear error
    (root / "Annotations" / "b.xml").unlink()
    with pytest.raises(ValueError, match=rf"none of its 1 annotation files can be used \(skipped: 1 {reason}"):
        read_voc(root)


def test_odd_but_sound_xml(voc):
    text = page(thing("caf\xe9"))
    table = read_voc(voc(a=b'<?xml version="1.0" encoding="latin-1"?>' + text.encode("latin-1")))
    assert table.class_names == ("caf\xe9",)
    assert read_voc(voc(a="\ufeff" + page("<!-- <!DOCTYPE no> -->", thing("<![CDATA[dog]]>")))).num_boxes == 1
    assert read_voc(voc(a=text.encode("utf-16"))).class_names == ("caf\xe9",)


def test_files_that_are_no_files(voc):
    root = voc(a=page(thing()), **{"._a": b"\0\5\x16\7"})
    (root / "Annotations" / "b.xml").mkdir()
    (root / "Annotations" / "c.xml").symlink_to(root / "Annotations" / "c.xml")
    table = read_voc(root)
    assert table.skipped() == {"broken_annotation": 2}
    assert "Is a directory" in table.problems[0].detail
    assert "symbolic links" in table.problems[1].detail


def test_sizes_not_stated_are_read_from_the_image(voc):
    sizes = [
        "",
        "<size><width>0</width><height>0</height></size>",
        "<size><width>wide</width><height>9</height></size>",
    ]
    root = voc(**{name: page(thing(), size=size) for name, size in zip("abc", sizes, strict=True)})
    assert read_voc(root).image_sizes.tolist() == [[WIDTH, HEIGHT]] * 3
    (root / "JPEGImages" / "b.jpg").write_text("no image")
    table = read_voc(root)
    assert table.image_ids.tolist() == ["a", "c"]
    assert table.skipped() == {"not_an_image": 1, "skipped_image": 1}


def test_check_images_finds_sizes_that_disagree(voc):
    root = voc(a=page(thing()), b=page(PERSON), c=page(thing()))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 8
    Image.new("RGB", (WIDTH, HEIGHT)).save(root / "JPEGImages" / "a.jpg", exif=exif)
    Image.new("RGB", (WIDTH, HEIGHT + 1)).save(root / "JPEGImages" / "b.jpg")
    assert read_voc(root).num_images == 3
    table = read_voc(root, check_images=True)
    assert table.image_ids.tolist() == ["c"]
    assert table.skipped() == {"size_mismatch": 2, "skipped_image": 4}
    turned, other = (problem for problem in table.problems if problem.reason == "size_mismatch")
    assert "before rotation by its EXIF tag" in turned.detail
    assert "stands as 100 x 80 in b.xml" in other.detail
    assert "EXIF" not in other.detail


def test_boxes_of_a_rotated_photograph_are_of_what_is_shown(voc):
    shown = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    shown[20:40, 10:30] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    root = voc(a=page(thing(box=(11, 21, 30, 40))))
    Image.fromarray(np.rot90(shown)).save(root / "JPEGImages" / "a.jpg", exif=exif, quality=100)
    table = read_voc(root, check_images=True)
    assert table.problems == ()
    assert crop(ImageReader(table)[0], table.boxes[0], 20).mean() > 250


def test_images_of_other_suffixes_and_names(voc):
    root = voc(a=page(thing()), d=page(thing()), e=page(thing(), name="photo 5.jpg"), f=page(thing(), name="c.jpg"))
    images = root / "JPEGImages"
    (images / "a.jpg").rename(images / "a.JPG")
    (images / "b.jpg").rename(images / "d.png")
    (images / "c.jpg").rename(images / "photo 5.jpg")
    table = read_voc(root)
    assert [os.path.basename(file) for file in table.image_files] == ["a.JPG", "d.png", "photo 5.jpg"]
    assert table.skipped() == {"missing_file": 1, "skipped_image": 1}


def test_an_image_has_one_annotation_file(voc):
    table = read_voc(voc(a=page(thing()), d=page(thing(), name="a.jpg")))
    assert table.image_ids.tolist() == ["a"]
    assert table.skipped() == {"repeated_file": 1, "skipped_image": 1}
    assert table.problems[0].where.endswith("d.xml")
    assert re.search(r"a\.jpg is that of a\.xml too", table.problems[0].detail)


def test_other_folders(voc, tmp_path):
    root = voc(a=page(PERSON))
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        read_voc(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="holds no folder Annotations; pass one of its folders VOC2012"):
        read_voc(tmp_path)
    (root / "Annotations" / "a.xml").write_text(page())
    with pytest.raises(ValueError, match="none of its 0 boxes can be used"):
        read_voc(root)
    (root / "Annotations" / "a.xml").unlink()
    with pytest.raises(ValueError, match=r"Annotations: no \.xml file, where VOC has one"):
        read_voc(root)
    (root / "JPEGImages").rename(root / "images")
    with pytest.raises(FileNotFoundError, match="holds no folder JPEGImages"):
        read_voc(root)


side = st.floats(-30, 130).map(str) | st.sampled_from(["", "x", "nan", "inf", "1e400", "-0", "1_0", " 7 ", "0x1f"])
box = st.tuples(side, side, side, side)
name = st.sampled_from(["dog", "person", "head", "", " ", "unicorn"])


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(name, box, st.lists(st.tuples(name, box), max_size=2)), max_size=5))
def test_whatever_the_objects_each_is_a_sound_box_or_a_counted_problem(tmp_path_factory, objects):
    root = tmp_path_factory.mktemp("voc")
    (root / "Annotations").mkdir()
    (root / "JPEGImages").mkdir()
    (root / "JPEGImages" / "a.jpg").touch()
    things = [thing(label, corners, "".join(part(*p) for p in parts)) for label, corners, parts in objects]
    (root / "Annotations" / "a.xml").write_text(page(thing("cat", (2, 3, 50, 60)), *things))
    table = read_voc(root)
    skipped = sum(count for reason, count in table.skipped().items() if reason != "clipped")
    assert table.num_boxes + skipped == 1 + len(objects) + sum(len(parts) for _, _, parts in objects)
    assert ((table.boxes[:, 2:] - table.boxes[:, :2]) >= 4).all()
    assert (table.boxes >= 0).all()
    assert (table.boxes[:, 2:] <= [WIDTH, HEIGHT]).all()


DATA = os.environ.get("HF_HYPERBOLIC_DATA")


@pytest.mark.real_data
@pytest.mark.skipif(DATA is None, reason="HF_HYPERBOLIC_DATA is not set")
@pytest.mark.parametrize("include_parts", [True, False])
def test_official_annotations_against_their_raw_elements(include_parts):
    root = Path(str(DATA)) / "formats" / "voc"
    table = read_voc(root, min_size=0, include_parts=include_parts, check_images=True)
    files = sorted((root / "Annotations").glob("*.xml"))
    assert table.image_ids.tolist() == [file.stem for file in files]
    counted: Counter[tuple[str, str]] = Counter()
    area = 0.0
    parts = 0
    for file in files:
        for element in xml.dom.minidom.parse(str(file)).getElementsByTagName("bndbox"):
            owner = element.parentNode
            parts += owner.tagName == "part"
            if owner.tagName == "part" and not include_parts:
                continue
            value = {
                node.tagName: node.firstChild.data for node in element.childNodes if node.nodeType == node.ELEMENT_NODE
            }
            (label,) = (node.firstChild.data for node in owner.childNodes if node.nodeName == "name")
            counted[file.stem, label] += 1
            area += (float(value["xmax"]) - float(value["xmin"]) + 1) * (
                float(value["ymax"]) - float(value["ymin"]) + 1
            )
    assert parts > 0
    names = np.array(table.class_names)[table.labels].tolist()
    assert Counter(zip(table.image_ids[table.box_image].tolist(), names, strict=True)) == counted
    assert table.num_boxes == sum(counted.values())
    sides = (table.boxes[:, 2:] - table.boxes[:, :2]).astype(np.float64)
    assert sides.prod(axis=1).sum() == pytest.approx(area, rel=1e-5)
    assert set(table.skipped()) <= {"part"}
    assert table.skipped()["part"] == (0 if include_parts else parts)
    if include_parts:
        hierarchy = build_hierarchy(table)
        child = {
            table.class_names[label] for label in hierarchy.node_label[hierarchy.direct[hierarchy.direct[:, 0] >= 8, 1]]
        }
        assert {"head", "hand"} <= child

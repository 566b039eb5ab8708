from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_hyperbolic.data.image_files import FolderListing, path_within

part = st.sampled_from(["..", ".", "a", "b", "..a"])


@given(parts=st.lists(part, max_size=8), absolute=st.booleans())
def test_a_path_is_within_its_folder_or_none(parts, absolute):
    name = ("/a/" if absolute else "") + "/".join(parts)
    stack, outside = ["a"] if absolute else ["a", "b"], False
    for step in parts:
        if step == "..":
            stack = stack[:-1]
        elif step != ".":
            stack.append(step)
        # a relative name must not even leave in order to come back
        outside |= not absolute and len(stack) < 2
    expected = None if outside or stack[:2] != ["a", "b"] or len(stack) < 3 else "/" + "/".join(stack)
    found = path_within(name, "/a/b")
    if found is not None and PurePosixPath(found) == PurePosixPath("/a/b"):
        found = None  # the folder itself, which is no file
    if absolute or not outside:
        assert found == expected
    else:
        assert found is None or found.startswith("/a/b/")


@pytest.mark.parametrize("folder", ["/a/b", "/a/b/", "/a/x/../b"])
def test_absolute_names(folder):
    assert path_within("/a/b/c.jpg", folder) == "/a/b/c.jpg"
    assert path_within("/a/bc/c.jpg", folder) is None
    assert path_within("/a/b/../c.jpg", folder) is None
    assert path_within("/d/c.jpg", folder, "/d") == "/d/c.jpg"
    assert path_within("/d/c.jpg", "/") == "/d/c.jpg"
    assert path_within("c.jpg", "/d", folder) == "/d/c.jpg"


def test_names_no_file_can_have(tmp_path):
    (tmp_path / "a").touch()
    listing = FolderListing()
    assert f"{tmp_path}/a" in listing
    assert f"{tmp_path}/\0/a" not in listing

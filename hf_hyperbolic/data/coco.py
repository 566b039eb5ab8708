"""COCO instances files (https://cocodataset.org/#format-data) -> table of boxes."""

import os
from dataclasses import replace

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.coco_layout import read_instances


def read_coco(
    annotation_file: str | os.PathLike[str],
    image_folder: str | os.PathLike[str] | None = None,
    *,
    min_size: float = 4.0,
    include_crowd: bool = False,
    check_images: bool = False,
    require_images: bool = True,
) -> BoxTable:
    """Reads a COCO instances file.

    Images stand in the order of the file, their boxes in the order of the annotations, classes by category id
    (categories of the same name are one class). Images left without a box stay: they are scenes too. What is skipped
    or clipped is recorded in `BoxTable.problems` and never stops the reading, unless nothing is left.

    Args:
        annotation_file: JSON with `images`, `annotations` and `categories`. Sizes missing there are read from the
            images' headers.
        image_folder: what `file_name` (which may hold subfolders) is relative to. By default the folder that holds the
            first images: `images` beside the annotation file, the file's own folder, or one there named as the end of
            the file's name (`val2017` for `instances_val2017.json`); for a file in `annotations` likewise in the folder
            above. An image that is not under its `file_name`, or has none, is looked for as the last one or two parts
            of its `coco_url`. A name that leads out of the folder is skipped (`outside_folder`); an absolute one must
            lie in it, or in the annotation file's own folder (for a file in `annotations`, the one above). So a file
            from elsewhere cannot draw in images it does not come with: to let it, pass `image_folder="/"` with names
            that are all absolute. Links in the folder are followed.
        min_size: boxes with a side shorter than this many pixels, once clipped to the image, are skipped.
        include_crowd: keep annotations with `iscrowd`.
        check_images: open every header and skip images that are broken or whose size as shown (after EXIF rotation)
            is not the one the file states. Without it such images come to light when `ImageReader` reads them.
        require_images: skip images without a file. False keeps them, their entry of `image_files` empty, where their
            size is stated: enough for hierarchies and statistics, not for pixels.

    Raises:
        FileNotFoundError: there is no annotation file or image folder.
        ValueError: not JSON, not COCO, ids given twice, or no usable image or no usable box.
    """
    found = read_instances(
        annotation_file,
        image_folder,
        min_size=min_size,
        include_crowd=include_crowd,
        check_images=check_images,
        require_images=require_images,
    )
    return replace(found.table, problems=found.log.problems())

"""`backbone moco`: a published MoCo v2 checkpoint as a folder for `training/train.py --backbone`."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Nothing that the file names is run: it is read by torch's restricted unpickler, and written as safetensors. "
        "An existing folder is never replaced."
    )
    parser.add_argument("checkpoint", help="file as published, such as moco_v2_800ep_pretrain.pth.tar")
    parser.add_argument("output", help="folder to write")
    parser.add_argument(
        "--image-size", type=int, default=224, help="side of the images that its image processor makes, in pixels"
    )


def run(options: argparse.Namespace) -> int:
    from hf_hyperbolic.converters.moco import convert_moco_file

    folder = convert_moco_file(options.checkpoint, options.output, options.image_size)
    print(f"wrote a ResNet-50: start training with --backbone {folder}")
    return 0

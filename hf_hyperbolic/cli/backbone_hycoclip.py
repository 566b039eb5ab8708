"""`backbone hycoclip`: as `backbone meru`, whose files look alike; what differs is which side is the general one."""

import argparse
from functools import partial

from hf_hyperbolic.cli import backbone_meru

run = partial(backbone_meru.convert, "hycoclip")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    backbone_meru.add_arguments(parser, "hycoclip_vit_s.pth")

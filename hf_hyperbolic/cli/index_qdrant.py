"""`index qdrant`: an index as a Qdrant collection."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", help="folder of an index, as `index build` writes it, or its name on the Hub")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--path", help="folder of an embedded collection")
    place.add_argument("--url", help="address of a Qdrant server, http://localhost:6333 for instance")
    parser.add_argument("--collection", default="embeddings", help="its name on the server (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    from hf_hyperbolic.retrieval.index import Index
    from hf_hyperbolic.retrieval.qdrant_copy import copy_to_qdrant

    index = Index.open(options.index)
    with copy_to_qdrant(index, options.path, options.url, options.collection, progress=True) as copy:
        there = options.path or f"collection {options.collection!r} of {options.url}"
        print(f"{there}: {len(copy):,} points, curvature {copy.curvature}")
    return 0

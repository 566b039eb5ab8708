"""`export sentence-transformers`: a checkpoint as a folder that `SentenceTransformer` loads."""

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Writes weights, configuration, code and image processor, loads them back and compares the embeddings of noise "
        "before the folder is there. Needs the extra sentence-transformers."
    )
    parser.add_argument("checkpoint", help="checkpoint folder, or the name of a model on the Hugging Face Hub")
    parser.add_argument("output", help="folder to write; an earlier export there is replaced")
    parser.add_argument(
        "--direction",
        choices=("children", "parents"),
        default="children",
        help="of similarity(a, b): children where a holds wholes and b what may be inside them (default), or parents",
    )


def run(options: argparse.Namespace) -> int:
    from hf_hyperbolic.export.sentence_transformers_folder import (
        export_sentence_transformers,
        need_sentence_transformers,
    )

    need_sentence_transformers()  # before a model is loaded in vain

    from hf_hyperbolic.export.checkpoint import load_checkpoint, notes

    encoder = load_checkpoint(options.checkpoint)
    found = export_sentence_transformers(encoder, options.output, options.direction)
    for note in notes(encoder):
        print(f"note: {note}", file=sys.stderr)
    print(f"wrote {options.output}; similarity by {encoder.measures[options.direction]}, {options.direction}")
    print(f"  against the checkpoint, random images, {found}")
    print(f"load it: SentenceTransformer({str(options.output)!r}, trust_remote_code=True)")
    return 0

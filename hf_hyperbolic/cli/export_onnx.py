"""`export onnx`: a checkpoint as an ONNX graph, in the layout of transformers.js."""

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Writes onnx/model.onnx (pixel_values -> embeds, any number of images), config.json and "
        "preprocessor_config.json, and compares onnxruntime with torch before the folder is there: on noise always, "
        "with --data on real images too. Needs the extra onnx."
    )
    parser.add_argument("checkpoint", help="checkpoint folder, or the name of a model on the Hugging Face Hub")
    parser.add_argument("output", help="folder to write; an earlier export there is replaced")
    parser.add_argument(
        "--quantize", action="store_true", help="write onnx/model_quantized.onnx too, with weights of 8 bits"
    )
    parser.add_argument(
        "--data", metavar="SOURCE", help="compare on it as well, and its neighbours: a data set or a folder of images"
    )
    parser.add_argument("--split", help="of --data; may be left out where there is only one")
    parser.add_argument(
        "--crops",
        type=int,
        default=1000,
        help="about so many images and boxes of --data at most (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    if options.split and not options.data:
        raise ValueError("--split is that of --data, which is not given")
    if options.crops < 1:
        raise ValueError(f"--crops must be at least 1, got {options.crops}")

    from hf_hyperbolic.extras import need

    for module in ("onnx", "onnxscript", "onnxruntime"):  # before a model is loaded in vain
        need(module, "onnx")

    from hf_hyperbolic.export.checkpoint import load_checkpoint, notes
    from hf_hyperbolic.export.crops import source_crops
    from hf_hyperbolic.export.onnx_folder import export_onnx

    encoder = load_checkpoint(options.checkpoint)
    crops = source_crops(encoder, options.data, options.split, options.crops) if options.data else None
    done = export_onnx(encoder, options.output, options.quantize, crops)
    for note in notes(encoder):
        print(f"note: {note}", file=sys.stderr)
    for graph, size in done.sizes.items():
        print(f"wrote {done.folder / graph}: {size / 1e6:.2f} MB")
        for name, found in done.agreement[graph].items():
            print(f"  against torch, {name}, {found}")
    return 0

"""Evaluate a run or any checkpoint, beside others, on any source of boxes; write tables, JSON and an HTML report.

    python training/evaluate.py --run outputs/demo
    python training/evaluate.py --run outputs/angle --baselines outputs/cosine openai/clip-vit-base-patch16
    python training/evaluate.py --checkpoint PATH_OR_HUB_ID --data PATH --zero_shot true

Under `accelerate launch` the processes share the work, and the first alone writes.
"""

import json
import sys
import time
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator, InitProcessGroupKwargs
from transformers import HfArgumentParser

from hf_hyperbolic.data.files import write_text, written_aside
from hf_hyperbolic.evaluation import (
    EvaluationSettings,
    evaluate_per_query,
    format_table,
    paired_difference,
    save_per_query,
)
from hf_hyperbolic.evaluation.text_to_image import evaluate_text_to_image
from hf_hyperbolic.evaluation.zero_shot import evaluate_zero_shot, nearest_measure
from hf_hyperbolic.evaluation.zero_shot_task import told_boxes
from hf_hyperbolic.phrases import no_text
from hf_hyperbolic.report import write_report
from hf_hyperbolic.report.space import write_disk
from hf_hyperbolic.training.captions import BESIDE, caption_figures, load_captions, readable_by
from hf_hyperbolic.training.class_phrases import called_alike, number_phrases
from hf_hyperbolic.training.evaluate_arguments import EvaluateArguments
from hf_hyperbolic.training.ground import read_ground
from hf_hyperbolic.training.output_names import file_names
from hf_hyperbolic.training.processes import end_processes
from hf_hyperbolic.training.sources import Split, class_frequencies_for, load_split, same_data
from hf_hyperbolic.training.support import load_support
from hf_hyperbolic.training.systems import System, is_run, pretrained, told_apart, trained, untrained

FIGURES = (
    ("parent to child, Recall@50 %", "children", "parent_to_child/{}/recall@50%"),
    ("child to parent, Top-10", "parents", "child_to_parent/{}/top_10"),
    ("own scene, recall@5", "parents", "own_scene/{}/recall@5"),
)


def compare(
    main: System, others: list[System], per_query: dict[str, dict], told_images: np.ndarray | None = None
) -> dict[str, dict[str, dict]]:
    """Paired differences, main system minus each other, each by its own ranking measure.

    Args:
        main: system that is compared.
        others: with what.
        per_query: system -> figure -> values.
        told_images: image of each box of the zero-shot figures, whose images are resampled whole.
    """
    found: dict[str, dict[str, dict]] = {}
    for other in others:
        mine, theirs = per_query[main.name], per_query[other.name]
        keys = {words: (key.format(main.measures[way]), key.format(other.measures[way])) for words, way, key in FIGURES}
        nearest = [f"zero_shot/{nearest_measure(system.curvature)}/accuracy" for system in (main, other)]
        found[other.name] = {
            words: paired_difference(mine[own], theirs[its]) for words, (own, its) in keys.items() if own in mine
        }
        if nearest[0] in mine:
            found[other.name]["zero-shot, accuracy"] = paired_difference(
                mine[nearest[0]], theirs[nearest[1]], groups=told_images
            )
    return found


def load_systems(options: EvaluateArguments, device: Any) -> list[System]:
    """The main system first, then the others; of a run its untrained start last."""
    main = options.run or options.checkpoint
    assert main is not None
    systems = [
        trained(name, device, options.which) if is_run(name) or name == options.run
        else pretrained(name, device, options.context)
        for name in (main, *options.baselines)
    ]  # fmt: skip
    return [*told_apart(systems), *([untrained(systems[0].args, device)] if options.run else [])]


def main(argv: list[str] | None = None) -> None:
    parser = HfArgumentParser(EvaluateArguments)  # type: ignore[arg-type]
    (options,) = parser.parse_args_into_dataclasses(argv)
    # one process may have far more to do than others, whose images are cut already, say
    patience = InitProcessGroupKwargs(timeout=timedelta(hours=3))
    accelerator = Accelerator(cpu=options.cpu, kwargs_handlers=[patience])
    count = accelerator.num_processes
    accelerator.print(f"{count} process{'es' if count > 1 else ''} on {accelerator.device.type}")
    started = time.time()
    system, *others = load_systems(options, accelerator.device)
    trained_on = system.args.data if system.known else None
    data = options.data or trained_on
    if data is None:
        raise ValueError(f"{options.checkpoint} does not say what it was trained on: name what to evaluate by --data")
    if trained_on is not None and same_data(data, trained_on):
        data = trained_on
    args = system.args if options.threshold is None else replace(system.args, threshold=options.threshold)
    output = options.folder(data, own_data=data == trained_on)

    held_out = load_split(args, options.split, data, format=options.format, image_folder=options.image_folder)
    hierarchy = held_out.hierarchy
    accelerator.print(f"{data}, {options.split}: {held_out.summary()}")
    captions, readers = None, list[str]()
    if options.captions:
        if system.text is None:
            raise no_text(system.name)
        captions = load_captions(options.captions, args, options.split, data, held_out.table)
        accelerator.print(f"{data}, {options.split}: {captions.summary()}")
        made = ", made from the annotations" if data == "scenes" and options.captions == BESIDE else ""
        about_captions = [f"captions: {captions.summary()}{made}"]
        captions, readers, unread = readable_by(captions, [system, *others])
        about_captions += unread
    frequencies, note = class_frequencies_for(args, hierarchy, data, options.format, trained_on)
    if note:
        accelerator.print(note)
    settings = EvaluationSettings()
    if options.class_hierarchy:
        settings = replace(settings, ground=read_ground(hierarchy.class_names, options.class_hierarchy))
    if options.zero_shot:
        support_split, support = load_support(
            args, options.support_split, data, hierarchy, options.shots, options.support_draws, options.seed,
            options.format, options.image_folder,
        )  # fmt: skip

    results: dict[str, dict] = {}
    per_query: dict[str, dict] = {}
    embeddings: dict[str, np.ndarray] = {}
    name_embeds: dict[str, np.ndarray | None] = {}
    for each in (system, *others):
        accelerator.print(f"embedding with {each.name}")
        embeddings[each.name] = each.embed(held_out, progress=accelerator.is_main_process)
        found, values = evaluate_per_query(
            embeddings[each.name], hierarchy, each.curvature, None, frequencies, options.seed, settings=settings,
            distributed=True, progress=accelerator.is_main_process,
        )  # fmt: skip
        if note:
            found["notes"].append(note)
        try:
            names = name_embeds[each.name] = each.embed_names(hierarchy.class_names)
        except ValueError as error:  # a word that its tokenizer does not know
            names = name_embeds[each.name] = None
            found["notes"].append(f"by names nothing of {each.name} is shown: {error}")
        if options.zero_shot:
            reference = each.embed(support_split, support.nodes, progress=accelerator.is_main_process)
            more, more_values = evaluate_zero_shot(
                embeddings[each.name], hierarchy, reference, support, each.curvature, seed=options.seed,
                trained_here=each.trained_on(data), distributed=True, name_embeds=names,
                progress=accelerator.is_main_process,
            )  # fmt: skip
            found, values = found | more, values | more_values
            if names is not None:
                found["notes"] += [
                    f"zero_shot: {' and '.join(map(repr, alike))} are the same in words: by names a box is told to "
                    "be of one of them by nothing but their order, and one that is named is found for either"
                    for alike in called_alike(hierarchy.class_names)
                ]
                if each.words_from(data) and not each.trained_on(data):
                    found["notes"].append(
                        f"zero_shot: the text tower of {each.name} was fitted to this very data set, so its figures by "
                        "names are not zero-shot"
                    )
                by_name, by_name_values = evaluate_text_to_image(
                    embeddings[each.name], hierarchy, names, each.curvature, seed=options.seed,
                    called=number_phrases(hierarchy.class_names),
                )  # fmt: skip
                found, values = found | {"text_to_image": by_name}, values | by_name_values
        if captions and each.name in readers:
            said, more_values = caption_figures(each, embeddings[each.name], hierarchy, captions, seed=options.seed)
            found, values = found | {"captions": said}, values | more_values
            found["notes"] += about_captions
        results[each.name], per_query[each.name] = found, values
    if accelerator.is_main_process:
        told_images = hierarchy.node_image[told_boxes(hierarchy, support)] if options.zero_shot else None
        comparisons = compare(system, others, per_query, told_images)
        text = write(
            options, output, data, system, others, held_out, results, per_query, embeddings[system.name], comparisons,
            name_embeds[system.name],
        )  # fmt: skip
        if system.chosen and options.split == "val" and data == trained_on:
            text += "note: the model was chosen among its checkpoints on this very split; --which final is not\n"
        print(text)
        print(
            f"evaluated in {time.time() - started:.0f} s; report: {output / 'report.html'}; figures: "
            f"{output / 'results.json'}"
        )
    end_processes(accelerator)


def write(
    options: EvaluateArguments,
    output: Path,
    data: str,
    system: System,
    others: list[System],
    held_out: Split,
    results: dict[str, dict],
    per_query: dict[str, dict],
    embeds: np.ndarray,
    comparisons: dict[str, dict[str, dict]],
    name_embeds: np.ndarray | None = None,
) -> str:
    """Writes table, JSON, values of every query and the report; gives the table."""
    output.mkdir(parents=True, exist_ok=True)
    measures = {each.name: each.measures for each in (system, *others)}
    text = format_table(results, measures=measures)
    write_text(output / "table.txt", text)
    made = {
        "options": asdict(options),
        "data": data,
        "weights": system.weights_digest(),
        "measures": measures,
        "results": results,
    }
    write_text(output / "results.json", json.dumps(made, indent=1))
    for part, values in zip(file_names(per_query), per_query.values(), strict=True):
        with written_aside(output / f"per_query-{part}.npz") as aside:
            save_per_query(aside, values)
    reader = held_out.images(cache_bytes=2**28)

    def crop_of(node: int) -> np.ndarray:
        return reader.cut(int(held_out.hierarchy.node_image[node]), held_out.hierarchy.node_box[node])

    metrics = None
    if options.run and (file := Path(options.run) / "metrics.jsonl").exists():
        metrics = [json.loads(line) for line in file.read_text().splitlines()]
    write_report(
        output / "report.html",
        results,
        held_out.hierarchy,
        embeds,
        system.curvature,
        metrics,
        crop_of,
        {**system.settings(), "evaluated_on": data, "split": options.split},
        children_measure=system.measures["children"],
        parents_measure=system.measures["parents"],
        pairs_measure=system.measures["pairs"],
        system_measures={other.name: other.measures for other in others},
        comparisons=comparisons,
        seed=options.seed,
        name_embeds=name_embeds,
        called=number_phrases(held_out.hierarchy.class_names),
    )
    write_disk(output / "poincare_disk.png", held_out.hierarchy, embeds, system.curvature)
    return text


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ValueError, OSError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error

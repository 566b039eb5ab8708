"""A run to a repository of the Hub."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hf_hyperbolic.hub.evaluations import find_evaluations
from hf_hyperbolic.hub.front_matter import CardFacts
from hf_hyperbolic.hub.model_folder import CARD, MODEL, figures_in, write_card, write_model_folder
from hf_hyperbolic.hub.run import TrainedModel
from hf_hyperbolic.hub.staging import write_dry_run
from hf_hyperbolic.hub.upload import Target, last_commit, open_repository, push_folder


@dataclass(frozen=True)
class Pushed:
    """
    Attributes:
        where: address of the commit, or of the pull request.
        revision: commit to pin; None for a pull request.
        left_out: why evaluations are not on the card.
        evaluated: whether the card has any figure.
        converted: whether it is of a model that others trained.
    """

    where: str
    revision: str | None
    left_out: list[str]
    evaluated: bool
    converted: bool = False


def push_model(
    path: str | Path,
    target: Target,
    facts: CardFacts,
    which: str = "best",
    evaluations: Sequence[str | Path] = (),
    dry_run: str | Path | None = None,
) -> Pushed:
    """Writes everything that travels, and pushes it.

    It takes two commits: weights and code first, then the card, which so can name the commit to pin. A pull request is
    one commit, and its card names none.

    Args:
        path: a run, or the folder of a model; see `TrainedModel.find`.
        target: where it goes.
        facts: for the card.
        which: of a run, "best" or "final".
        evaluations: folders of training/evaluate.py; without any, those of the run. None for a converted model.
        dry_run: write the folder there and push nothing; it must not be there yet, or be of an earlier dry run.

    Raises:
        FileNotFoundError, ValueError: as `TrainedModel.find` and `find_evaluations`.
        FileExistsError: `dry_run` holds something else.
        OSError: as `open_repository` and `push_folder`.
    """
    target.check()
    model = TrainedModel.find(path, which)
    if model.conversion and evaluations:
        raise ValueError(
            f"{model.folder} is converted from what others trained, and its card has no figures: leave --evaluation out"
        )
    found, left_out = ([], []) if model.conversion else find_evaluations(model, evaluations)
    facts = replace(facts, left_out=left_out)
    if dry_run is not None:
        write_dry_run(Path(dry_run), lambda folder: write_model_folder(model, found, facts, folder))
        return Pushed(str(dry_run), None, left_out, bool(found), bool(model.conversion))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model_folder(model, found, facts, folder)
        api = open_repository(target, MODEL, folder)
        if target.create_pr:
            commit = push_folder(api, target, MODEL, folder)
            return Pushed(commit.pr_url or commit.commit_url, None, left_out, bool(found), bool(model.conversion))
        rest = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
        rest.remove(CARD)
        push_folder(api, target, MODEL, folder, rest)
        revision = last_commit(api, target, MODEL, rest)
        write_card(model, found, replace(facts, revision=revision), figures_in(folder), folder)
        commit = push_folder(api, target, MODEL, folder)
    return Pushed(commit.commit_url, revision, left_out, bool(found), bool(model.conversion))

"""Arguments that all commands share which push to the Hub, under the names `huggingface_hub` has for them."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hf_hyperbolic.hub.upload import Target


def add_target_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("repo_id", help="repository on the Hub, USER/NAME; made where it is not there")
    parser.add_argument(
        "--dry-run", "--dry_run", metavar="FOLDER", help="write what would be pushed to a folder, without the network"
    )
    parser.add_argument(
        "--private", action="store_true", default=None, help="a new repository is private (one that is there stays)"
    )
    parser.add_argument("--revision", help="branch to commit to, made where it is not there (default: main)")
    parser.add_argument("--commit-message", "--commit_message", help="of the commit")
    parser.add_argument(
        "--create-pr", "--create_pr", action="store_true", help="open a pull request instead of committing"
    )


def target(options: argparse.Namespace) -> "Target":
    from hf_hyperbolic.hub.upload import Target

    return Target(options.repo_id, options.private, options.revision, options.commit_message, options.create_pr)


def print_where(options: argparse.Namespace, where: str) -> None:
    if options.dry_run:
        print(f"wrote {where}: all that would be pushed to {options.repo_id}")
    else:
        print(f"pushed: {where}")

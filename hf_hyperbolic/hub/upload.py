"""A folder to a repository of the Hub: what models, data sets, indexes and the metric are pushed by."""

import fnmatch
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from huggingface_hub import CommitInfo, HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RevisionNotFoundError
from huggingface_hub.utils import validate_repo_id

# of whatever HTTP library huggingface_hub is built on: httpx, or another that took its place
HTTP_ERROR = cast("type[Exception]", next(base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError"))
# what a repository may hold that nobody has pushed anything to yet
_NEUTRAL = {".gitattributes", "README.md", "LICENSE", ".gitignore"}
_AGAIN = "the same command again goes on where this one ended"


@dataclass(frozen=True)
class Kind:
    """What is pushed, and how a repository is known to hold it.

    Attributes:
        name: as messages call it.
        repo_type: "model", "dataset" or "space".
        file: that every repository of this kind has.
        text: that this file holds.
        replaced: patterns of files that an earlier push left and this one does not have: they are deleted.
        space_sdk: of a Space.
    """

    name: str
    repo_type: str
    file: str
    text: str
    replaced: tuple[str, ...] = ()
    space_sdk: str | None = None


@dataclass(frozen=True)
class Target:
    """Where a folder goes, in the words of `huggingface_hub`.

    Attributes:
        repo_id: "user/name".
        private: of a repository that is made now; None for the account's default. One that is there stays as it is.
        revision: branch to commit to, made where it is not there; None for main.
        commit_message: None for one that says what was pushed.
        create_pr: opens a pull request instead of committing to the branch.
    """

    repo_id: str
    private: bool | None = None
    revision: str | None = None
    commit_message: str | None = None
    create_pr: bool = False

    def check(self) -> None:
        """
        Raises:
            ValueError: the name is none of a repository, or a pull request is asked for on another branch than main.
        """
        first, _, rest = self.repo_id.partition("/")
        if (first in ("datasets", "spaces", "models") and "/" in rest) or "://" in self.repo_id:
            raise ValueError(
                f"{self.repo_id}: give USER/NAME alone; the command knows what kind of repository it pushes to"
            )
        if "/" not in self.repo_id:
            raise ValueError(f"{self.repo_id}: give USER/NAME, with the user or organisation it belongs to")
        try:
            validate_repo_id(self.repo_id)
        except HFValidationError as error:
            raise ValueError(f"{self.repo_id} is no name of a repository, which is USER/NAME: {error}") from error
        if self.create_pr and self.revision not in (None, constants.DEFAULT_REVISION):
            raise ValueError("a pull request is opened against main: give either --create-pr or --revision")


def open_repository(target: Target, kind: Kind, folder: Path) -> HfApi:
    """Makes the repository and the branch where they are not there, and looks at what the repository holds.

    Args:
        target: where `folder` shall go.
        kind: of what is in it.
        folder: with everything that will be pushed.

    Raises:
        ValueError: the name is wrong, or the repository holds something of another kind.
        PermissionError: there is no token, or it may not write there.
        ConnectionError: the Hub cannot be reached, or HF_HUB_OFFLINE is set.
        OSError: the Hub refuses.
    """
    target.check()
    if constants.HF_HUB_OFFLINE:
        raise ConnectionError("HF_HUB_OFFLINE is set, so nothing can be pushed: unset it, or look at it by --dry-run")
    if get_token() is None:
        raise PermissionError("no token of the Hugging Face Hub: log in by `hf auth login`, or set HF_TOKEN")
    api = HfApi(library_name="hf_hyperbolic")
    with _explained(target):
        api.create_repo(
            target.repo_id, private=target.private, repo_type=kind.repo_type, exist_ok=True, space_sdk=kind.space_sdk
        )
        if target.revision and not target.create_pr:
            try:
                api.repo_info(target.repo_id, repo_type=kind.repo_type, revision=target.revision)
            except RevisionNotFoundError:
                api.create_branch(target.repo_id, branch=target.revision, repo_type=kind.repo_type, exist_ok=True)
        _check_kind(api, target, kind, folder)
    return api


def push_folder(api: HfApi, target: Target, kind: Kind, folder: Path, only: Sequence[str] | None = None) -> CommitInfo:
    """Commits a folder; what is there already, from a push that was interrupted too, is not sent again.

    Args:
        api: of `open_repository`.
        target: where it goes.
        kind: of what is in it.
        folder: what goes there, or of which the files `only` names go there.
        only: names of files; None for all.

    Raises:
        ConnectionError: the Hub cannot be reached.
        OSError: the Hub refuses.
    """
    with _explained(target):
        return api.upload_folder(
            repo_id=target.repo_id,
            folder_path=str(folder),
            repo_type=kind.repo_type,
            revision=None if target.create_pr else target.revision,
            commit_message=target.commit_message or f"Push a {kind.name} of hf_hyperbolic",
            create_pr=target.create_pr,
            allow_patterns=None if only is None else list(only),
            delete_patterns=list(kind.replaced) if kind.replaced and only is None else None,
        )


def last_commit(api: HfApi, target: Target, kind: Kind, files: Sequence[str]) -> str:
    """The id of the newest commit that changed one of the files: it stays what it is when nothing new is pushed."""
    with _explained(target):
        found = api.get_paths_info(
            target.repo_id, list(files), expand=True, revision=target.revision, repo_type=kind.repo_type
        )
    commits = [info.last_commit for info in found if info.last_commit is not None]
    if not commits:
        raise OSError(f"{target.repo_id}: the Hub does not list what was pushed: {_AGAIN}")
    return max(commits, key=lambda commit: commit.date).oid


def _check_kind(api: HfApi, target: Target, kind: Kind, folder: Path) -> None:
    there = set(api.list_repo_files(target.repo_id, repo_type=kind.repo_type, revision=target.revision))
    if there <= _NEUTRAL:
        return
    if kind.file in there:
        file = api.hf_hub_download(target.repo_id, kind.file, repo_type=kind.repo_type, revision=target.revision)
        foreign = [kind.file] if kind.text not in Path(file).read_text(encoding="utf-8", errors="replace") else []
    else:  # an interrupted push leaves some of the files and nothing else
        ours = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
        patterns = kind.replaced
        foreign = sorted(
            name for name in there - ours - _NEUTRAL if not any(fnmatch.fnmatch(name, glob) for glob in patterns)
        )
    if foreign:
        raise ValueError(
            f"{target.repo_id} holds something else than a {kind.name} of this library ({', '.join(foreign[:3])}), "
            "which a push would mix with or replace: choose another name"
        )


@contextmanager
def _explained(target: Target) -> Iterator[None]:
    """Errors of the Hub as one line that says what to do."""
    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status in (401, 403):
            raise PermissionError(
                f"{target.repo_id}: the token may not write there (HTTP {status}): give it write access at "
                "https://huggingface.co/settings/tokens, choose a repository of your own, or open a pull request by "
                "--create-pr"
            ) from error
        said = (error.server_message or str(error)).strip().splitlines() or [type(error).__name__]
        raise OSError(f"{target.repo_id}: the Hub answers HTTP {status}: {said[0]}; {_AGAIN}") from error
    except HTTP_ERROR as error:
        reason = str(error) or type(error).__name__
        raise ConnectionError(f"{target.repo_id}: the Hub cannot be reached ({reason}); {_AGAIN}") from error

"""Stands in for `huggingface_hub.HfApi`: keeps repositories in memory, records calls, and refuses when told to."""

import fnmatch
import hashlib
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

from hf_hyperbolic.hub.upload import HTTP_ERROR

# the HTTP library of huggingface_hub
HTTP = sys.modules[HTTP_ERROR.__module__.partition(".")[0]]


def refusal(status, kind=HfHubHTTPError, message="no"):
    response = HTTP.Response(status, request=HTTP.Request("POST", "https://hub/api"), text=message)
    return kind(message, response=response, server_message=message)


@dataclass
class Commit:
    oid: str
    files: dict[str, bytes]
    message: str
    number: int


class FakeHub:
    def __init__(self, downloads: Path):
        self.downloads = downloads
        self.branches: dict[tuple[str, str], dict[str, list[Commit]]] = {}
        self.calls: list[tuple[str, dict]] = []
        self.refuse: dict[str, Exception] = {}
        self.count = 0

    def _called(self, name, **details):
        self.calls.append((name, details))
        if name in self.refuse:
            raise self.refuse.pop(name)

    def seed(self, repo_id, repo_type, files):
        """A repository that is there already."""
        self.branches[repo_type, repo_id] = {"main": []}
        self._commit(repo_id, repo_type, "main", {name: text.encode() for name, text in files.items()}, "seed")

    def files(self, repo_id, repo_type="model", branch="main"):
        commits = self.branches[repo_type, repo_id][branch]
        return commits[-1].files if commits else {}

    def _commit(self, repo_id, repo_type, branch, files, message):
        self.count += 1
        oid = hashlib.sha1(f"{repo_id}{self.count}".encode()).hexdigest()
        commit = Commit(oid, files, message, self.count)
        self.branches[repo_type, repo_id][branch].append(commit)
        return commit

    def create_repo(self, repo_id, *, private, repo_type, exist_ok, space_sdk=None):
        self._called("create_repo", repo_id=repo_id, private=private, repo_type=repo_type, space_sdk=space_sdk)
        assert exist_ok
        self.branches.setdefault((repo_type, repo_id), {"main": []})

    def repo_info(self, repo_id, *, repo_type, revision):
        self._called("repo_info")
        if revision not in self.branches[repo_type, repo_id]:
            raise refusal(404, RevisionNotFoundError)

    def create_branch(self, repo_id, *, branch, repo_type, exist_ok):
        self._called("create_branch", branch=branch)
        self.branches[repo_type, repo_id][branch] = list(self.branches[repo_type, repo_id]["main"])

    def list_repo_files(self, repo_id, *, repo_type, revision):
        self._called("list_repo_files")
        return list(self.files(repo_id, repo_type, revision or "main"))

    def hf_hub_download(self, repo_id, filename, *, repo_type, revision):
        self._called("hf_hub_download")
        place = self.downloads / filename
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(self.files(repo_id, repo_type, revision or "main")[filename])
        return str(place)

    def upload_folder(
        self, *, repo_id, folder_path, repo_type, revision, commit_message, create_pr, allow_patterns, delete_patterns
    ):
        self._called("upload_folder", message=commit_message, create_pr=create_pr, allow_patterns=allow_patterns)
        branch = revision or "main"
        before = self.files(repo_id, repo_type, branch)
        root = Path(folder_path)
        new = {
            file.relative_to(root).as_posix(): file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()
        }
        if allow_patterns is not None:
            new = {name: content for name, content in new.items() if name in allow_patterns}
        gone = {name for name in before for glob in delete_patterns or () if fnmatch.fnmatch(name, glob)} - set(new)
        after = {name: content for name, content in before.items() if name not in gone} | new
        if create_pr:
            branch = "refs/pr/1"
            self.branches[repo_type, repo_id][branch] = list(self.branches[repo_type, repo_id]["main"])
        commits = self.branches[repo_type, repo_id][branch]
        commit = commits[-1] if commits and after == before else None
        commit = commit or self._commit(repo_id, repo_type, branch, after, commit_message)
        pr_url = f"https://hub/{repo_id}/discussions/1" if create_pr else None
        return SimpleNamespace(oid=commit.oid, commit_url=f"https://hub/{repo_id}/commit/{commit.oid}", pr_url=pr_url)

    def get_paths_info(self, repo_id, paths, *, expand, revision, repo_type):
        self._called("get_paths_info")
        assert expand
        commits = self.branches[repo_type, repo_id][revision or "main"]
        found = []
        for path in paths:
            last = None
            for before, commit in zip([None, *commits], commits, strict=False):
                if path in commit.files and (before is None or before.files.get(path) != commit.files[path]):
                    last = commit
            assert last is not None
            date = datetime(2026, 1, 1) + timedelta(minutes=last.number)
            found.append(SimpleNamespace(path=path, last_commit=SimpleNamespace(oid=last.oid, date=date)))
        return found

    def as_cache(self, home: Path, repo_id: str, repo_type: str = "model") -> None:
        """Lays a repository out as huggingface_hub's cache keeps it, every commit a snapshot."""
        folder = home / "hub" / f"{repo_type}s--{repo_id.replace('/', '--')}"
        for commit in self.branches[repo_type, repo_id]["main"]:
            for name, content in commit.files.items():
                place = folder / "snapshots" / commit.oid / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(self.branches[repo_type, repo_id]["main"][-1].oid)

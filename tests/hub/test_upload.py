import http.server
import threading

import pytest
from fake_hub import HTTP, refusal

from hf_hyperbolic.hub import upload
from hf_hyperbolic.hub.upload import Kind, Target, last_commit, open_repository, push_folder

KIND = Kind("thing", "dataset", "thing.json", "a thing", ("old-*",))


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "thing.json").write_text("a thing of ours")
    (folder / "deep" / "part.txt").write_text("part")
    return folder


def push(target, folder):
    api = open_repository(target, KIND, folder)
    return push_folder(api, target, KIND, folder)


def test_a_push_makes_the_repository_and_commits_every_file(hub, folder):
    commit = push(Target("me/things", private=True, commit_message="first"), folder)
    assert hub.files("me/things", "dataset") == {"thing.json": b"a thing of ours", "deep/part.txt": b"part"}
    assert hub.calls[0] == (
        "create_repo", {"repo_id": "me/things", "private": True, "repo_type": "dataset", "space_sdk": None},
    )  # fmt: skip
    assert commit.commit_url.endswith(commit.oid)
    assert hub.branches["dataset", "me/things"]["main"][-1].message == "first"


def test_a_second_push_replaces_what_an_earlier_one_left_and_nothing_else(hub, folder):
    hub.seed("me/things", "dataset", {"thing.json": "a thing", "old-1": "x", "notes.txt": "mine"})
    push(Target("me/things"), folder)
    assert set(hub.files("me/things", "dataset")) == {"thing.json", "deep/part.txt", "notes.txt"}


def test_an_interrupted_push_is_gone_on_with(hub, folder):
    hub.seed("me/things", "dataset", {".gitattributes": "", "deep/part.txt": "part"})
    push(Target("me/things"), folder)
    assert "thing.json" in hub.files("me/things", "dataset")


@pytest.mark.parametrize("there", [{"thing.json": "another tool's"}, {"weights.bin": "x"}, {"README.md": "", "a": ""}])
def test_a_repository_of_another_kind_is_left_alone(there, hub, folder):
    hub.seed("me/things", "dataset", there)
    with pytest.raises(ValueError, match="something else than a thing of this library"):
        push(Target("me/things"), folder)
    assert hub.files("me/things", "dataset") == {name: text.encode() for name, text in there.items()}


def test_an_empty_repository_made_on_the_site_is_taken(hub, folder):
    hub.seed("me/things", "dataset", {"README.md": "license: mit", ".gitattributes": ""})
    push(Target("me/things"), folder)
    assert "thing.json" in hub.files("me/things", "dataset")


def test_a_branch_is_made_and_main_left_alone(hub, folder):
    hub.seed("me/things", "dataset", {"thing.json": "a thing"})
    push(Target("me/things", revision="v2"), folder)
    assert hub.files("me/things", "dataset", "v2")["thing.json"] == b"a thing of ours"
    assert hub.files("me/things", "dataset")["thing.json"] == b"a thing"


def test_a_pull_request(hub, folder):
    hub.seed("me/things", "dataset", {"thing.json": "a thing"})
    assert push(Target("me/things", create_pr=True), folder).pr_url == "https://hub/me/things/discussions/1"
    assert hub.files("me/things", "dataset")["thing.json"] == b"a thing"


def test_the_last_commit_stays_where_nothing_new_is_pushed(hub, folder):
    target = Target("me/things")
    first = push(target, folder).oid
    (folder / "later.txt").write_text("more")
    api = open_repository(target, KIND, folder)
    second = push_folder(api, target, KIND, folder, ["later.txt"]).oid
    assert first != second
    assert last_commit(api, target, KIND, ["thing.json", "deep/part.txt"]) == first
    assert last_commit(api, target, KIND, ["thing.json", "later.txt"]) == second


@pytest.mark.parametrize(
    "name", ["things", "datasets/me/things", "https://huggingface.co/me/things", "me/things/more", "me/th ings", "/x"]
)
def test_a_wrong_name_is_refused_before_anything_happens(name, hub, folder):
    with pytest.raises(ValueError, match="USER/NAME"):
        push(Target(name), folder)
    assert hub.calls == []


def test_a_pull_request_goes_to_main(hub, folder):
    with pytest.raises(ValueError, match="against main"):
        push(Target("me/things", revision="v2", create_pr=True), folder)


def test_no_token_and_no_network_are_told_before_anything_happens(hub, folder, monkeypatch):
    monkeypatch.setattr(upload, "get_token", lambda: None)
    with pytest.raises(PermissionError, match="hf auth login"):
        push(Target("me/things"), folder)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE"):
        push(Target("me/things"), folder)
    assert hub.calls == []


@pytest.mark.parametrize(
    ("step", "error", "raised", "said"),
    [
        ("create_repo", refusal(403), PermissionError, "may not write there"),
        ("create_repo", refusal(401), PermissionError, "HTTP 401"),
        ("upload_folder", refusal(500, message="try later\nplease"), OSError, "HTTP 500: try later; the same command"),
        ("upload_folder", HTTP.ConnectError("no route"), ConnectionError, r"cannot be reached \(no route\)"),
    ],
)
def test_what_the_hub_refuses_is_one_line_and_the_next_try_succeeds(step, error, raised, said, hub, folder):
    hub.refuse[step] = error
    with pytest.raises(raised, match=said) as caught:
        push(Target("me/things"), folder)
    assert "\n" not in str(caught.value)
    push(Target("me/things"), folder)
    assert "thing.json" in hub.files("me/things", "dataset")


@pytest.fixture
def server(monkeypatch):
    """A Hub that answers everything with 403, over HTTP."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.server.asked.append((self.path, self.headers.get("authorization")))
            self.send_response(403)
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", "hf_of_somebody")
        yield server
        server.shutdown()


def test_the_real_client_asks_with_the_token_and_its_refusal_is_explained(server, folder):
    with pytest.raises(PermissionError, match="me/things: the token may not write there"):
        push(Target("me/things"), folder)
    assert ("/api/repos/create", "Bearer hf_of_somebody") in server.asked


def test_the_real_client_without_a_server(server, folder, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(ConnectionError, match="cannot be reached"):
        push(Target("me/things"), folder)

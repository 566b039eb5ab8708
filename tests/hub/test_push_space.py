"""The demo goes to a Space by one command: all of it, and nothing that lies beside it."""

import sys
from pathlib import Path

import pytest
from huggingface_hub import SpaceCard

sys.path.insert(0, str(Path(__file__).parent))
from fake_hub import FakeHub

from hf_hyperbolic.cli.main import main
from hf_hyperbolic.hub.push_space import SPACE, push_space
from hf_hyperbolic.hub.upload import Target

ROOT = Path(__file__).parents[2]


@pytest.fixture
def space(tmp_path):
    """As space/assemble.py lays it out, with small files in place of the model and the index."""
    folder = tmp_path / "assembled"
    for name in ("app.py", "sources.py", "clicks.js", "style.css", "README.md", "requirements.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((ROOT / "space" / name).read_bytes())
    for name, text in {
        "hf_hyperbolic/__init__.py": "", "hf_hyperbolic/hub/model_card.md": "card", "model/config.json": "{}",
        "model/model.safetensors": "x", "index/manifest.json": "{}", "index/shard-00000.arrow": "x",
        "images/test/000000.jpg": "x", "hf_hyperbolic/__pycache__/a.pyc": "x", ".env": "HF_TOKEN=secret",
        "notes/private.txt": "secret",
    }.items():  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


TRAVELS = {
    "app.py", "sources.py", "clicks.js", "style.css", "README.md", "requirements.txt", "hf_hyperbolic/__init__.py",
    "hf_hyperbolic/hub/model_card.md", "model/config.json", "model/model.safetensors", "index/manifest.json",
    "index/shard-00000.arrow", "images/test/000000.jpg",
}  # fmt: skip


def test_it_is_pushed_as_a_space_of_gradio(space, hub):
    where = push_space(space, Target("me/demo"), ["me/model"], ["me/scenes"])
    assert where.startswith("https://hub/me/demo/commit/")
    assert hub.calls[0][1] == {"repo_id": "me/demo", "private": None, "repo_type": "space", "space_sdk": "gradio"}
    files = hub.files("me/demo", "space")
    assert set(files) == TRAVELS
    card = SpaceCard(files["README.md"].decode())
    assert (card.data.models, card.data.datasets) == (["me/model"], ["me/scenes"])
    # the rest is as it was
    before = SpaceCard((ROOT / "space" / "README.md").read_text(encoding="utf-8"))
    assert card.text == before.text
    linked = {"models": ["me/model"], "datasets": ["me/scenes"]}
    assert card.data.to_dict() == before.data.to_dict() | linked


def test_what_an_earlier_push_had_does_not_stay_and_what_others_put_there_does(space, hub):
    push_space(space, Target("me/demo"))
    hub.files("me/demo", "space")["docs/theirs.md"] = b"theirs"
    (space / "images" / "test" / "000000.jpg").rename(space / "images" / "test" / "000001.jpg")
    push_space(space, Target("me/demo"))
    assert set(hub.files("me/demo", "space")) == TRAVELS - {"images/test/000000.jpg"} | {
        "images/test/000001.jpg", "docs/theirs.md",
    }  # fmt: skip


def test_a_dry_run_and_a_push_from_the_command_line(space, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["space", "push", str(space), "me/demo", "--model", "me/model", "--dry-run", str(out)]) == 0
    assert capsys.readouterr().out == f"wrote {out}: all that would be pushed to me/demo\n"
    found = {file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file()}
    assert found - {".hf-hyperbolic-dry-run"} == TRAVELS
    assert "models:\n- me/model\n" in (out / "README.md").read_text(encoding="utf-8")
    assert "me/model" not in (space / "README.md").read_text(encoding="utf-8")
    # what was written can be pushed itself
    assert main(["space", "push", str(out), "me/demo", "--dry-run", str(tmp_path / "again")]) == 0


def test_another_app_is_not_written_over(space, hub: FakeHub):
    hub.seed("me/demo", "space", {"app.py": "import gradio", "README.md": "x"})
    with pytest.raises(ValueError, match=r"something else than a Space of this library \(app.py\)"):
        push_space(space, Target("me/demo"))


def test_what_is_no_space_is_named(space, hub, tmp_path, capsys):
    (space / "README.md").write_text("---\nsdk: docker\n---\n")
    with pytest.raises(ValueError, match="says sdk: docker"):
        push_space(space, Target("me/demo"))
    (space / "README.md").write_text("no front matter\n")
    with pytest.raises(ValueError, match=r"README.md"):
        push_space(space, Target("me/demo"))
    (space / "app.py").write_text("import gradio\n")
    with pytest.raises(ValueError, match="another app"):
        push_space(space, Target("me/demo"))
    (space / "index" / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks index/manifest.json: lay one out by"):
        push_space(space, Target("me/demo"))
    assert main(["space", "push", str(tmp_path / "nowhere"), "me/demo"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert hub.calls == []


def test_the_app_is_known_by_its_text():
    assert SPACE.text in (ROOT / "space" / "app.py").read_text(encoding="utf-8")

import json

import numpy as np
import pytest

from hf_hyperbolic.training.kept_figures import Kept, kept_embeddings, kept_figures, load_arrays, parameters_digest

SOURCE = {"model": "abc", "measures": {"children": "beta"}}
KEPT = Kept(
    {"a/b": {"value": 0.5, "chance": None, "ceiling": 1.0}}, {"a/b": np.array([0.25, np.nan])}, {"notes": ["n"]}
)


@pytest.fixture
def ask(tmp_path):
    """Asks for kept figures; gives what came and whether it was made anew."""

    def asked(source=SOURCE, wanted=("a/b",)):
        made = []
        found = kept_figures(tmp_path / "run", "final-val", source, wanted, lambda: (made.append(1), KEPT)[1])
        return found, bool(made)

    return asked


def test_what_was_found_is_read_back(ask):
    assert ask()[1]
    found, again = ask()
    assert not again
    assert (found.figures, found.about) == (KEPT.figures, KEPT.about)
    np.testing.assert_array_equal(found.units["a/b"], KEPT.units["a/b"])


@pytest.mark.parametrize(
    "source", [{**SOURCE, "model": "other"}, {**SOURCE, "measures": {"children": "distance"}}, {**SOURCE, "data": "x"}]
)
def test_figures_of_something_else_are_made_again(ask, source):
    ask()
    assert ask(source)[1]
    assert not ask(source)[1]


def test_figures_of_an_older_version_are_made_again(ask, monkeypatch):
    ask()
    monkeypatch.setattr("hf_hyperbolic.training.kept_figures.VERSION", 99)
    assert ask()[1]


def test_missing_figures_are_made_again(ask):
    ask()
    assert ask(wanted=("a/b", "a/c"))[1]


def test_files_of_another_layout_are_made_again(ask, tmp_path):
    """The first comparisons kept a table's cells, and no units."""
    ask()
    figures, units = tmp_path / "run" / "figures-final-val.json", tmp_path / "run" / "units-final-val.safetensors"
    for content in ('{"P>C R@50%": {"value": 84.1}}', "[1]", "{", '{"made_from": 3}'):
        figures.write_text(content)
        assert ask()[1]
    units.write_bytes(b"broken")
    assert ask()[1]
    units.unlink()
    assert ask()[1]
    document = json.loads(figures.read_text())
    document["figures"] = {}
    figures.write_text(json.dumps(document))
    assert ask()[1]
    assert not ask()[1]


def test_embeddings_are_kept_for_the_model_and_split_they_are_of(tmp_path):
    made = []

    def make():
        made.append(1)
        return np.arange(6, dtype=np.float32).reshape(3, 2), 0.7

    for source, count in ((SOURCE, 1), (SOURCE, 1), ({"model": "other"}, 2)):
        embeds, curvature = kept_embeddings(tmp_path, "final-val", source, make)
        assert (embeds.tolist(), curvature) == ([[0, 1], [2, 3], [4, 5]], 0.7)
        assert len(made) == count
    assert load_arrays(tmp_path / "nothing", SOURCE) is None


def test_the_digest_tells_weights_apart():
    import torch

    torch.manual_seed(0)
    one, other = torch.nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3)
    assert parameters_digest(one) == parameters_digest(other)
    other.running_mean[0] = 1
    assert parameters_digest(one) != parameters_digest(other)
    assert len({parameters_digest(torch.nn.Linear(2, 2)) for _ in range(2)}) == 2

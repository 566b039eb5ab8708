import numpy as np
import pytest

from hf_hyperbolic.evaluation.verdicts import judge
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.variants import COMPARED, difference_rows, read_variants, settings_rows, variant_claims


def written(tmp_path, text):
    path = tmp_path / "variants.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(("study", "recipe"), [("recipe.yaml", None), ("photographs.yaml", "photographs.yaml")])
def test_the_studies_of_this_repository_can_be_trained(request, study, recipe):
    training = request.config.rootpath / "training"
    words = [str(training / "configs" / recipe)] if recipe else []
    variants = read_variants(training / "studies" / study)
    first, *others = variants
    assert variants[first] == []
    default = TrainArguments.parse(words)
    for name in others:
        assert TrainArguments.parse([*words, *variants[name]]) != default, f"{name} is the default"


def test_settings_become_words_of_a_command_line(tmp_path):
    variants = read_variants(
        written(tmp_path, "plain:\nfixed: {learn_curvature: false, own_weight: 0.5}\n16 d: {projection_dim: 16}\n")
    )
    assert variants == {
        "plain": [],
        "fixed": ["--learn_curvature", "false", "--own_weight", "0.5"],
        "16 d": ["--projection_dim", "16"],
    }
    assert settings_rows(variants)[1:] == [
        ["plain", "(none)"], ["fixed", "--learn_curvature false --own_weight 0.5"], ["16 d", "--projection_dim 16"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not YAML"),
        ("a:\n", "at least two names"),
        ("- a\n- b\n", "at least two names"),
        ("a:\nb: 3\n", "'b' must have settings"),
        ("a:\nb: {own_weight: 2}\n", r"'b' cannot be trained: .*own_weight"),
        ("a:\nb: {no_such_thing: 2}\n", "'b' cannot be trained"),
        ("a:\nb c: {seed: 1}\nb-c: {seed: 2}\n", "would share a folder"),
    ],
)
def test_a_file_that_is_no_study_is_refused_and_named(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=message) as caught:
        read_variants(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.yaml"):
        read_variants(tmp_path / "none.yaml")


def test_differences_from_the_first_have_intervals_and_stars():
    rng = np.random.default_rng(0)
    units = {
        name: {figure: rng.normal(mean, 0.1, (3, 400)) for figure in COMPARED}
        for name, mean in (("first", 0.5), ("same", 0.5), ("better", 0.9))
    }
    rows = difference_rows(judge(variant_claims(list(units)), units, {}, {}))
    assert [row[0] for row in rows] == ["variant less the first", "same", "better"]
    assert all(cell.endswith(" *") and cell.startswith("+") for cell in rows[2][1:])
    assert not any(cell.endswith("*") for cell in rows[1][1:])
    difference, low, high = (float(word.strip("[],*")) for word in rows[2][1].split()[:3])
    assert low < difference < high
    assert difference == pytest.approx(40, abs=1.5)

import pytest

from hf_hyperbolic.hub.emissions import Emissions, read_emissions


def test_the_last_line_of_each_run_counts(tmp_path):
    assert read_emissions(tmp_path) is None
    assert read_emissions(None) is None
    (tmp_path / "emissions.csv").write_text("run_id,emissions\na,0.001\na,0.004\nb,0.0005\n")
    found = read_emissions(tmp_path)
    assert found.grams == pytest.approx(4.5)
    assert found.source == "codecarbon"


@pytest.mark.parametrize("text", ["kg\n1\n", "run_id,emissions\na,much\n", "run_id,emissions\na\n"])
def test_another_file_is_refused(text, tmp_path):
    (tmp_path / "emissions.csv").write_text(text)
    with pytest.raises(ValueError, match=r"emissions.csv is not codecarbon's"):
        read_emissions(tmp_path)


@pytest.mark.parametrize("grams", [-1.0, float("nan"), float("inf")])
def test_no_nonsense(grams):
    with pytest.raises(ValueError, match="grams of CO2"):
        Emissions(grams, "me")

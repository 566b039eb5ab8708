import numpy as np
import pytest
import torch

from hf_hyperbolic.evaluation.calibration import calibrate, centre, csls


def random_scores(seed: int, rows: int, columns: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, columns)))


def test_centring_takes_the_mean_of_each_item_off() -> None:
    scores, reference = random_scores(0, 5, 7), random_scores(1, 11, 7)
    found, scaled = centre(scores, reference).numpy(), centre(scores, reference, scale=True).numpy()
    for q in range(5):
        for g in range(7):
            column = reference[:, g].numpy()
            assert found[q, g] == pytest.approx(scores[q, g].item() - column.mean(), abs=1e-12)
            assert scaled[q, g] == pytest.approx((scores[q, g].item() - column.mean()) / column.std(), abs=1e-9)
    np.testing.assert_allclose(centre(reference, reference).mean(0), 0, atol=1e-12)


def test_csls_ranks_as_published() -> None:
    scores, reference = random_scores(0, 6, 9), random_scores(1, 20, 9)
    nearest_of_item = np.sort(reference.numpy(), axis=0)[::-1][:4].mean(0)
    nearest_of_query = np.sort(scores.numpy(), axis=1)[:, ::-1][:, :4].mean(1, keepdims=True)
    published = 2 * scores.numpy() - nearest_of_query - nearest_of_item
    found = csls(scores, reference, neighbours=4).numpy()
    np.testing.assert_array_equal(np.argsort(-found, axis=1), np.argsort(-published, axis=1))


def test_a_hub_is_brought_down() -> None:
    scores, reference = random_scores(0, 200, 30), random_scores(1, 100, 30)
    scores[:, 4] += 10
    reference[:, 4] += 10
    assert (scores.argmax(1) == 4).all()  # premise
    for corrected in (centre(scores, reference), centre(scores, reference, scale=True)):
        assert (corrected.argmax(1) == 4).float().mean() < 0.15
    # as published, CSLS takes off half of what an item scores with everybody
    lead = csls(scores, reference).mean(0)[4] - csls(scores, reference).mean()
    assert lead.item() == pytest.approx(5, abs=0.5)


def test_missing_references_are_left_out() -> None:
    reference = random_scores(0, 6, 4)
    holes = reference.clone()
    holes[torch.arange(4), torch.arange(4)] = torch.nan
    holes[:, 3] = torch.nan
    for correction in ("centred", "zscored", "csls"):
        found = calibrate(holes, correction, neighbours=3)
        assert torch.isfinite(found.offset).all()
        assert (found.scale > 0).all()
        assert found.offset[3] == 0
        assert found.scale[3] == 1
        for g in range(3):
            rest = reference[:, g][torch.arange(6) != g][:, None]
            alone = calibrate(rest, correction, neighbours=3)
            assert found.offset[g].item() == pytest.approx(alone.offset.item(), abs=1e-12)
            assert found.scale[g].item() == pytest.approx(alone.scale.item(), abs=1e-12)


def test_an_item_without_spread_keeps_its_scale() -> None:
    assert calibrate(torch.ones(5, 2), "zscored").scale.tolist() == [1, 1]


def test_unknown_correction_is_named() -> None:
    with pytest.raises(ValueError, match="unknown correction 'whitened': choose one of centred"):
        calibrate(torch.ones(2, 2), "whitened")  # type: ignore[arg-type]

import pytest

from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.fine_tuning import check_sharded


@pytest.mark.parametrize(
    "settings",
    [
        {"lora_rank": 2},
        {"ema_decay": 0.9},
        {"cache_features": True, "flip": False},
        {"text_weight": 1.0},
        {"torch_compile": True},
    ],
)
def test_what_needs_all_weights_in_one_process_is_refused_where_they_are_shared_out(settings):
    (name, *_), args = settings, TrainArguments(**settings)
    check_sharded(args, sharded=False)
    with pytest.raises(ValueError, match=f"--{name} does not go with FSDP2"):
        check_sharded(args, sharded=True)


def test_a_run_of_the_whole_model_may_be_sharded():
    check_sharded(TrainArguments(), sharded=True)

import threading

import pytest
import torch

from hf_hyperbolic.evaluation.threads import spread


def threads_of_a_new_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_results_come_in_order_and_each_piece_has_one_thread(three_threads):
    assert spread(lambda item: (item, torch.get_num_threads()), range(7)) == [(item, 1) for item in range(7)]
    weight = torch.ones(2, requires_grad=True)
    assert not any(spread(lambda item: (weight * item).requires_grad, range(4)))


def test_the_process_keeps_its_number_of_threads(three_threads):
    spread(lambda item: item, range(7))
    assert torch.get_num_threads() == 3
    assert threads_of_a_new_thread() == 3
    with pytest.raises(ZeroDivisionError):
        spread(lambda item: 1 // item, [1, 0, 2])
    assert threads_of_a_new_thread() == 3

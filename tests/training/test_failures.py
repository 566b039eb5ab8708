"""What is told of errors, and what is left of a folder that could not be written."""

import multiprocessing
import signal
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors import SafetensorError
from torch.utils.data import DataLoader

from hf_hyperbolic.training import workers
from hf_hyperbolic.training.failures import clear_failures, explained, is_write_failure, whole_folder


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("DataLoader timed out after 4 seconds"), "--worker_timeout"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), r"worker \(pid 7\) is killed"),
        (RuntimeError("DataLoader worker (pid(s) 7, 8) exited unexpectedly"), "--num_workers"),
        (RuntimeError("[/gloo/transport/tcp/pair.cc:547] Connection closed by peer"), "another process of this run"),
        (dist.DistBackendError("NCCL communicator was aborted on rank 1."), "another process of this run"),
        (ValueError("--geometry must be one of"), "ValueError: --geometry must be one of"),
        (FileNotFoundError("no such folder"), "FileNotFoundError: no such folder"),
    ],
)
def test_what_is_known_is_told_in_one_message(error, told):
    @clear_failures
    def main():
        raise error

    with pytest.raises(SystemExit, match=told):
        main()


@pytest.mark.parametrize("error", [RuntimeError("size mismatch"), KeyError("x"), SystemExit(75), KeyboardInterrupt()])
def test_what_is_not_keeps_its_traceback(error):
    assert isinstance(error, SystemExit | KeyboardInterrupt) or explained(error) is None

    @clear_failures
    def main():
        raise error

    with pytest.raises(type(error)) as raised:
        main()
    assert raised.value is error


class Slow:
    """Items that never come, by workers that do not end when they are told to."""

    def __len__(self):
        return 1

    def __getitem__(self, _):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(3600)


def loader_of(items):
    return workers.batches(DataLoader(items, batch_size=None, num_workers=1, multiprocessing_context="fork"))


def test_a_run_that_fails_ends_its_own_data_workers_and_no_other_process(monkeypatch):
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.2)  # how long torch waits for a worker
    other = multiprocessing.get_context("fork").Process(target=time.sleep, args=(3600,))
    other.start()
    of_the_caller = loader_of([1, 2, 3, 4])
    started = []

    @clear_failures
    def main():
        before = workers.running()
        loader = loader_of(Slow())
        started.extend(workers.running() - before)
        assert len(started) == len(before) == 1
        time.sleep(0.5)  # by then it hangs
        assert loader
        raise ValueError("wrong")

    try:
        with pytest.raises(SystemExit, match="ValueError: wrong"):
            main()
        assert not started[0].is_alive()
        assert other.is_alive()
        assert list(of_the_caller) == [1, 2, 3, 4]
    finally:
        other.kill()
        other.join()


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        SafetensorError("I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:664] . PytorchStreamWriter failed writing file data/0"),
    ],
)
def test_a_folder_that_could_not_be_written_leaves_the_old_one(tmp_path, error):
    folder = tmp_path / "best"
    folder.mkdir()
    (folder / "model").write_text("old")

    def write():
        with whole_folder(folder) as aside:
            (aside / "model").write_text("new")
            raise error

    with pytest.raises(SystemExit, match=r"best could not be written: .*MB are free there. .*best is as it was"):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["best"]
    assert (folder / "model").read_text() == "old"


def test_what_libraries_raise_when_a_file_cannot_grow_is_known(tmp_path):
    """Written to a device that is always full, which Linux has."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    with pytest.raises(Exception) as raised:  # noqa: PT011  (each version has its own)
        torch.save({"x": torch.zeros(10**6)}, "/dev/full")
    assert is_write_failure(raised.value)


def test_a_folder_takes_the_place_of_the_old_one(tmp_path):
    for content in ("old", "new"):
        with whole_folder(tmp_path / "best") as aside:
            (aside / "model").write_text(content)
    assert (tmp_path / "best" / "model").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["best"]

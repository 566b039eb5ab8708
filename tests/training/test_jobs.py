import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from hf_hyperbolic.training.jobs import Job, processors, run_jobs


def job(folder, name, code):
    return Job(name, (sys.executable, "-c", textwrap.dedent(code)), folder / name)


def test_a_failure_names_its_log_and_lets_others_finish(tmp_path, capfd):
    jobs = [
        job(tmp_path, "bad", "print('10 %\\r50 %\\rwhat went wrong'); raise SystemExit(3)"),
        job(tmp_path, "good", f"import time; time.sleep(0.5); open({str(tmp_path / 'done')!r}, 'w')"),
        job(tmp_path, "late", "print('after the failure')"),
    ]
    assert run_jobs(jobs, 2) == jobs[:1]
    assert (tmp_path / "done").exists()
    assert (tmp_path / "late" / "train.log").read_text() == "after the failure\n"
    printed = "".join(capfd.readouterr())
    assert f"bad failed with exit status 3; the end of {tmp_path / 'bad' / 'train.log'}:" in printed
    assert "\n    what went wrong" in printed, "of a progress bar only what was seen last"
    assert "after the failure" not in printed


def test_jobs_share_the_processors(tmp_path):
    jobs = [job(tmp_path, name, "import os; print(os.environ['OMP_NUM_THREADS'])") for name in ("a", "b", "c")]
    assert run_jobs(jobs, 3) == []
    share = max(1, processors() // 3)
    assert [one.log.read_text().strip() for one in jobs] == [str(share)] * 3


def test_so_many_run_at_once_and_no_more(tmp_path):
    code = f"""
        import os, pathlib, time
        here = pathlib.Path({str(tmp_path)!r})
        mine = here / f"running-{{os.getpid()}}"
        mine.touch()
        print(len(list(here.glob("running-*"))))
        time.sleep(1)
        mine.unlink()
    """
    jobs = [job(tmp_path, str(number), code) for number in range(4)]
    assert run_jobs(jobs, 2) == []
    counts = [int(one.log.read_text()) for one in jobs]
    assert max(counts) == 2


def test_one_at_a_time_prints_here_and_stops_at_a_failure(tmp_path, capfd):
    jobs = [job(tmp_path, "first", "print('seen')"), job(tmp_path, "bad", "raise SystemExit(1)")]
    after = job(tmp_path, "after", "print('not seen')")
    assert run_jobs([*jobs, after]) == jobs[1:]
    printed = capfd.readouterr().out
    assert "seen" in printed
    assert "not seen" not in printed
    assert not (tmp_path / "first").exists()


def test_less_than_one_at_once_is_refused(tmp_path):
    with pytest.raises(ValueError, match="--jobs"):
        run_jobs([], 0)


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_a_parent_told_to_stop_stops_its_jobs_in_order(tmp_path, told):
    child = textwrap.dedent(
        f"""
        import pathlib, signal, sys, time
        here = pathlib.Path({str(tmp_path)!r})
        def stop(*_):
            time.sleep(0.5)
            (here / "stopped in order").touch()
            sys.exit(1)
        signal.signal(signal.SIGTERM, stop)
        (here / "started").touch()
        time.sleep(120)
        """
    )
    parent = textwrap.dedent(
        f"""
        import signal, sys
        from pathlib import Path
        from hf_hyperbolic.training.jobs import Job, run_jobs
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        try:
            run_jobs([Job("x", (sys.executable, "-c", {child!r}), Path({str(tmp_path)!r}))] , 2)
        except KeyboardInterrupt:
            sys.exit(7)
        """
    )
    process = subprocess.Popen([sys.executable, "-c", parent], env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(told)
    assert process.wait(60) == 7
    assert (tmp_path / "stopped in order").exists()


def test_a_job_that_does_not_stop_is_killed(tmp_path):
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(120)"

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(2)
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            run_jobs([job(tmp_path, "stubborn", stubborn)], 2, patience=0.5)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - started < 30

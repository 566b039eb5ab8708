import os
import subprocess
import sys

import pytest

from hf_hyperbolic.cli import main as module
from hf_hyperbolic.cli.main import COMMANDS, GROUPS, SINGLE, main


def test_help_lists_every_command(capsys):
    assert set(GROUPS) == set(COMMANDS)
    for group, commands in COMMANDS.items():
        with pytest.raises(SystemExit) as exit_:
            main([group, "--help"])
        assert exit_.value.code == 0
        printed = capsys.readouterr().out
        for name in commands:
            assert name in printed
            with pytest.raises(SystemExit) as exit_:
                main([group, name, "--help"])
            assert exit_.value.code == 0
            positional = {
                "detect": "images", "search": "index", "qdrant": "index", "moco": "checkpoint",
                "meru": "checkpoint", "hycoclip": "checkpoint", "onnx": "checkpoint",
                "sentence-transformers": "checkpoint", "push": "repo_id",
            }.get(name, "source")  # fmt: skip
            assert positional in capsys.readouterr().out


def test_help_lists_the_commands_of_no_group(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    for name in SINGLE:
        assert f"\n    {name}" in printed
        with pytest.raises(SystemExit) as exit_:
            main([name, "--help"])
        assert exit_.value.code == 0
        assert "repo_id" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv", [[], ["data"], ["data", "nothing"], ["data", "inspect"], ["data", "inspect", "x", "--y"]]
)
def test_usage_errors(argv, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(argv)
    assert exit_.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_an_error_is_one_line(capsys, tmp_path):
    for argv in (
        ["inspect", str(tmp_path)],
        ["inspect", "/no/such/place"],
        ["validate", str(tmp_path), "--split", "val"],
    ):
        assert main(["data", *argv]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("error: ")
        assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "status", "printed"),
    [(KeyboardInterrupt(), 130, "interrupted\n"), (ValueError("two\nlines"), 2, "error: two lines\n")],
)
def test_how_a_command_ends(error, status, printed, monkeypatch, capsys, source):
    def fail(options):
        raise error

    monkeypatch.setattr("hf_hyperbolic.cli.inspect.run", fail)
    assert main(["data", "inspect", str(source), "--split", "val"]) == status
    assert capsys.readouterr().err == printed


def test_other_errors_are_not_hidden(monkeypatch, source):
    def fail(options):
        raise ZeroDivisionError

    monkeypatch.setattr("hf_hyperbolic.cli.inspect.run", fail)
    with pytest.raises(ZeroDivisionError):
        module.main(["data", "inspect", str(source)])


def run(*arguments, **kwargs):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        **kwargs,
    )


def test_the_module_runs_without_importing_a_model(source):
    script = (
        "import runpy, sys; sys.argv = ['hf-hyperbolic', *sys.argv[1:]]\n"
        "try:\n    runpy.run_module('hf_hyperbolic', run_name='__main__')\n"
        "finally:\n    print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    done = run("-c", script, "data", "inspect", str(source), "--split", "val")
    assert done.returncode == 0, done.stderr
    assert "house 2" in done.stdout
    assert done.stdout.endswith("\n[]\n")

    done = run("-m", "hf_hyperbolic", "data", "inspect", str(source))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_command_that_asks_for_the_model_gets_it_registered():
    script = (
        "import sys; sys.argv = ['hf-hyperbolic']\n"
        "import hf_hyperbolic\n"
        "assert 'transformers' not in sys.modules\n"
        "config = hf_hyperbolic.HyperbolicCLIPVisionConfig()\n"
        "from transformers import AutoConfig\n"
        "assert type(AutoConfig.for_model(config.model_type)) is type(config)\n"
        "print(hf_hyperbolic.lorentz.__name__)"
    )
    done = run("-c", script)
    assert done.stdout == "hf_hyperbolic.lorentz\n", done.stderr

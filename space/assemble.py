"""Lays out a folder that is a whole Space: the app, the package, a model, an index and its pictures.

python space/assemble.py --model outputs/demo/best --output outputs/space/hub
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from sources import HERE, open_source

from hf_hyperbolic.data.files import replace_folder
from hf_hyperbolic.hub.index_folder import write_index_folder
from hf_hyperbolic.hub.run import TrainedModel

_OWN = ("*.py", "*.js", "*.css", "README.md", "requirements.txt")


def assemble(model: Path, work: Path, output: Path) -> None:
    """
    Args:
        model: checkpoint folder, or a run, whose best model is taken.
        work: where scenes are drawn and an index is built, as of `open_source`.
        output: folder of the Space; one that is there is replaced.

    Raises:
        FileNotFoundError, ValueError: there is no model in the folder, or `output` holds something else than a Space.
    """
    if output.exists() and not (output / "app.py").exists():
        raise ValueError(f"{output} is there and is no Space: give another folder")
    found = TrainedModel.find(model)
    index = open_source(str(found.folder), None, None, work).index
    output.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".space-", dir=output.parent))
    try:
        _copy(HERE, aside, _OWN)
        package = HERE.parent / "hf_hyperbolic"
        shutil.copytree(package, aside / "hf_hyperbolic", ignore=shutil.ignore_patterns("__pycache__"))
        (aside / "model").mkdir()
        for name, content in found.public_files().items():  # settings without the paths of this machine
            if isinstance(content, str):
                (aside / "model" / name).write_text(content, encoding="utf-8")
            elif content.suffix != ".py":  # the package is there
                shutil.copyfile(content, aside / "model" / name)
        (aside / "index").mkdir()
        # under a name that says where it lies in the Space
        write_index_folder(index.folder, aside / "index", "index", "space/model", thumbnails=True)
        (aside / "index" / "README.md").unlink()
        for record in index.manifest.sources:
            root = Path(record.root)
            for file in sorted({item["image"] for item in index.items(range(len(index)))}):
                place = aside / "images" / Path(file).relative_to(root)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, place)
        aside.chmod(0o755)
        replace_folder(aside, output)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _copy(source: Path, target: Path, patterns: tuple[str, ...]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for pattern in patterns:
        for file in source.glob(pattern):
            shutil.copyfile(file, target / file.name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder, or a run")
    parser.add_argument("--work", type=Path, default=Path("outputs/space"), help="where the index is built")
    parser.add_argument("--output", type=Path, default=Path("outputs/space/hub"), help="folder of the Space")
    options = parser.parse_args()
    try:
        assemble(options.model, options.work, options.output)
    except (OSError, ValueError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    print(f"wrote {options.output}; publish it: hf-hyperbolic space push {options.output} USER/NAME")
    return 0


if __name__ == "__main__":
    sys.exit(main())

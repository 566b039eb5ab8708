"""How long the demo of space/ takes to start and to answer, alone and with ten users at once.

python benchmarks/space.py --model outputs/demo/best

The demo is started as a person starts it and asked over HTTP by `gradio_client`, so a time is what a user waits for,
but for the browser's own. An index is built first where `--work` has none, and no start counts it.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "space"))
from machine import processor
from sources import open_source

from hf_hyperbolic.retrieval import Index

_Result = TypeVar("_Result")

APP = Path(__file__).resolve().parents[1] / "space" / "app.py"
# a start that takes longer has failed
_PATIENCE = 600
# what should hold, in seconds
START, ANSWER = 15.0, 0.5


@dataclass(frozen=True)
class Row:
    """A line of the table: what was done, how often, and the seconds each time took.

    Attributes:
        limit: in seconds, that the median should stay below; None where none is set.
    """

    name: str
    seconds: Sequence[float]
    limit: float | None = None

    def cells(self) -> list[str]:
        median = statistics.median(self.seconds)
        held = "" if self.limit is None else f"{self.limit:g}, {'held' if median < self.limit else 'NOT held'}"
        return [self.name, str(len(self.seconds)), f"{median:.3f}", f"{max(self.seconds):.3f}", held]


@contextmanager
def served(index: Path, model: str | None = None) -> Iterator[tuple[str, float]]:
    """Starts the demo; its address, and the seconds until it served its page."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(APP), "--index", str(index), "--port", str(port)]
    command += ["--model", model] if model else []
    with tempfile.TemporaryDirectory() as place:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "GRADIO_TEMP_DIR": place}
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            address = f"http://127.0.0.1:{port}"
            while not _answers(address):
                if process.poll() is not None or time.perf_counter() - started > _PATIENCE:
                    raise RuntimeError(f"{APP} did not start (exit status {process.poll()}): what it said stands above")
                time.sleep(0.05)
            yield address, time.perf_counter() - started
        finally:
            process.terminate()
            process.wait(60)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=60) as page:
            return page.status == 200
    except OSError:
        return False


def timed(act: Callable[..., _Result], *given: Any) -> tuple[float, _Result]:
    """Seconds, and what came of it."""
    started = time.perf_counter()
    found = act(*given)
    return time.perf_counter() - started, found


def answers(address: str, items: Sequence[str], picture: Path, users: int, each: int) -> list[Row]:
    """Answers to one user, and to several at once, who each get the answers they would get alone.

    Args:
        address: of the demo.
        items: ids in its index, of which to ask.
        picture: that is sent.
        users: at once.
        each: questions of each user.
    """
    from gradio_client import Client, handle_file

    clients = [Client(address, verbose=False) for _ in range(users)]

    def ask(client: Client, place: int) -> list[str]:
        found = client.predict(item=items[place % len(items)], direction="parents", k=8, api_name="/ask_item")
        return [entry["id"] for entry in found["hierarchy"]["results"]]

    def send(place: int) -> Any:
        side = 20 + place % 20
        question = {"box": f"0, 0, {side}, {side}", "direction": "parents", "k": 8}
        return clients[0].predict(image=handle_file(str(picture)), **question, api_name="/ask")

    send(0)  # the first question warms torch
    pictures = [timed(send, place)[0] for place in range(each)]
    # of each user's questions, alone
    alone = [timed(ask, clients[0], place) for place in range(users)]

    def user(number: int) -> list[float]:
        seconds = []
        for _ in range(each):
            took, found = timed(ask, clients[number], number)
            if found != alone[number][1]:
                raise RuntimeError(f"user {number} got another answer than alone")
            seconds.append(took)
        return seconds

    with ThreadPoolExecutor(users) as pool:
        took, of_users = timed(lambda: list(pool.map(user, range(users))))
    crowd = [seconds for of_user in of_users for seconds in of_user]
    print(
        f"{users} users at once: {len(crowd)} answers in {took:.1f} s, {len(crowd) / took:.1f} a second, all their own"
    )
    return [
        Row("a picture and a box", pictures, ANSWER),
        Row("an item of the index", [seconds for seconds, _ in alone], ANSWER),
        Row(f"the same by {users} users at once", crowd),
    ]


def table(rows: Sequence[Row]) -> str:
    head = ["", "times", "median s", "longest s", "limit s"]
    lines = [head, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="checkpoint folder; with --index by default the one that names")
    parser.add_argument("--index", help="folder of an index (default: one of the embedded scenes, built in --work)")
    parser.add_argument("--work", type=Path, default=Path("outputs/space"), help="default: %(default)s")
    parser.add_argument("--starts", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--users", type=int, default=10, help="at once (default: %(default)s)")
    parser.add_argument("--each", type=int, default=5, help="questions of each (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        index = open_source(options.model, options.index, None, options.work).index
    except (OSError, ValueError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "?"
    print(f"{processor()}, {os.cpu_count()} threads, load {load}; {len(index):,} items")
    starts = []
    for number in range(options.starts):
        with served(index.folder, options.model) as (address, seconds):
            starts.append(seconds)
            if number == options.starts - 1:
                rows = answers(address, _spread(index, options.users), _picture(index), options.users, options.each)
    print(table([Row("start, until the page is there", starts, START), *rows]))
    return 0


def _spread(index: Index, count: int) -> list[str]:
    """Ids from all over the index."""
    return [item["id"] for item in index.items([place * len(index) // count for place in range(count)])]


def _picture(index: Index) -> Path:
    """A picture to send: the first whole image of the index, or a grey one."""
    for item in index.items(range(min(len(index), 100))):
        if item["box"] is None and item["image"] and Path(item["image"]).is_file():
            return Path(item["image"])
    place = Path(tempfile.mkdtemp()) / "grey.png"
    Image.new("RGB", (192, 192), "grey").save(place)
    return place


if __name__ == "__main__":
    sys.exit(main())

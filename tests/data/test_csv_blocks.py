import gzip
from itertools import chain

import numpy as np
import pytest

from hf_hyperbolic.data import csv_blocks
from hf_hyperbolic.data.csv_blocks import map_blocks


@pytest.mark.parametrize("block_bytes", [1, 7, 100, 1 << 20])
def test_blocks_come_in_order_with_their_lines(tmp_path, monkeypatch, block_bytes):
    monkeypatch.setattr(csv_blocks, "_BLOCK_BYTES", block_bytes)
    file = tmp_path / "numbers.csv"
    # row r is number r; blank lines, short lines and text among them
    lines = ["name,skipped,number"]
    for r in range(200):
        lines += [""] * (r % 7 == 0) + ["short"] * (r % 11 == 0) + [f"n{r},-,{'x' if r % 13 == 0 else r}"]
    file.write_text("\n".join(lines))

    def convert(block):
        row, values = block.categories("name")
        return (
            [values[i] for i in row],
            block.numbers("number")[:, 0],
            block.lines(np.arange(block.num_rows)),
            block.cut_lines(9),
        )

    names, numbers, found, cut = zip(*map_blocks(file, convert, text=["name"], numbers=["number"]), strict=True)
    assert list(chain(*names)) == [f"n{r}" for r in range(200)]
    np.testing.assert_array_equal(np.concatenate(numbers), [np.nan if r % 13 == 0 else r for r in range(200)])
    rows = [(number, line) for number, line in enumerate(lines, 1) if line.startswith("n") and number > 1]
    assert list(chain(*found)) == rows
    if block_bytes <= 100:
        assert list(chain(*cut)) == [(number, line) for number, line in enumerate(lines, 1) if line == "short"]


@pytest.mark.parametrize("packed", [False, True])
def test_a_line_without_end_is_an_error_at_once(tmp_path, monkeypatch, packed):
    monkeypatch.setattr(csv_blocks, "_BLOCK_BYTES", 100)
    monkeypatch.setattr(csv_blocks, "_MAX_LINE_BYTES", 1000)
    file = tmp_path / "numbers.csv"
    lines = ["number", *["1"] * 60, "2" * 1_000_000, "3"]
    content = "\n".join(lines).encode()
    file.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(ValueError, match=r"numbers\.csv: line 62 is longer than 1,000 bytes: no row of a CSV file"):
        list(map_blocks(file, lambda block: block.num_rows, text=[], numbers=["number"]))


def test_an_error_in_one_block_ends_the_reading(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_blocks, "_BLOCK_BYTES", 1)
    file = tmp_path / "numbers.csv"
    file.write_text("number\n" + "1\n" * 50)
    seen = []

    def convert(block):
        seen.append(block.first_line)
        if block.first_line == 5:
            raise ValueError("no fives")

    with pytest.raises(ValueError, match="no fives"):
        list(map_blocks(file, convert, text=[], numbers=["number"]))
    assert max(seen) < 50

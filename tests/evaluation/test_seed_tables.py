import json

from hf_hyperbolic.evaluation.seed_tables import Column, Table, as_dict, as_markdown, as_text, rows, spread_rows

TABLE = Table("A table", (Column("share", "a/share"), Column("OT", "a/ot", 1, 2, lower=True)))


def run(share: float | None, ot: float, **levels: float) -> dict:
    return {
        "a/share": {"value": share, "chance": 0.5, "ceiling": 1.0, **levels},
        "a/ot": {"value": ot, "chance": 17.0, "ceiling": None},
    }


def test_mean_and_range_over_seeds_with_levels_below():
    runs = {"one": [run(0.5, 3.0)], "two": [run(0.25, 1.0), run(0.35, 2.0)], "undefined": [run(None, 1.0)] * 2}
    assert rows(TABLE, runs) == [
        ["system (seeds)", "share", "OT ↓"],
        ["one (1)", "50.0", "3.00"],
        ["two (2)", "30.0 (25.0-35.0)", "1.50 (1.00-2.00)"],
        ["undefined (2)", "-", "1.00 (1.00-1.00)"],
        ["chance", "50.0", "17.00"],
        ["ceiling", "100.0", "-"],
    ]


def test_a_query_blind_ranking_has_a_row_where_there_is_one():
    found = rows(TABLE, {"one": [run(0.5, 3.0, oracle=0.6)]})
    assert found[-1] == ["oracle", "60.0", "-"]


def test_json_has_every_seed():
    document = as_dict(TABLE, {"two": [run(0.25, 1.0), run(None, 2.0)]})
    json.dumps(document, allow_nan=False)
    assert document["figures"]["a/share"] == {"chance": 0.5, "ceiling": 1.0, "systems": {"two": [0.25, None]}}


def test_layout():
    cells = [["system", "x"], ["a|b", "1.0"]]
    assert as_text(cells).splitlines() == ["system    x", "-----------", "a|b     1.0"]
    assert as_markdown(cells).splitlines() == ["| system | x |", "| --- | --- |", "| a\\|b | 1.0 |"]


def test_spread_over_seeds():
    figure = "child_to_parent/top_10"
    runs = {"two": [{figure: {"value": value}} for value in (0.25, 0.35)], "one": [{figure: {"value": 0.5}}]}
    head, *found = spread_rows([figure], ["two", "one", "none"], runs)
    assert head == ["system (seeds)", "Top-10: deviation (range)"]
    # of two values the deviation is their distance over the root of two
    assert found == [["two (2)", "7.07 (25.00-35.00)"]]

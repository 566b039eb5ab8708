from hypothesis import given
from hypothesis import strategies as st

from hf_hyperbolic.data.boxes import Problem
from hf_hyperbolic.data.tally import EXAMPLES, Tally


@given(st.lists(st.lists(st.sampled_from(["late", "torn"]), max_size=60), max_size=5))
def test_parts_add_up_and_examples_are_the_first(parts):
    whole, number = Tally(), 0
    for part in parts:
        tally = Tally()
        for reason in ("late", "torn"):
            problems = [Problem(reason, str(number + i), "") for i, found in enumerate(part) if found == reason]
            tally.add(reason, len(problems), problems[: EXAMPLES + 1])
        whole.merge(tally)
        number += len(part)
    everything = [reason for part in parts for reason in part]
    for reason in ("late", "torn"):
        where = [str(i) for i, found in enumerate(everything) if found == reason]
        listed = [problem for problem in whole.problems() if problem.reason == reason]
        assert sum(problem.count for problem in listed) == len(where)
        assert [problem.where for problem in listed] == where[: EXAMPLES + 1]
        assert all(problem.count == 1 for problem in listed[:EXAMPLES])


def test_summary_names_the_commonest_first():
    tally = Tally()
    assert tally.summary() == ""
    tally.add("torn", 1, [Problem("torn", "", "")])
    tally.add("late", 1200, [Problem("late", "", "")])
    assert tally.summary() == " (skipped: 1200 late, 1 torn)"

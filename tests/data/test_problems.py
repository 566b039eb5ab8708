from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hf_hyperbolic.data.boxes import Problem
from hf_hyperbolic.data.problems import shorten


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9))), st.integers(0, 4))
def test_counts_stay_and_lists_are_short(made, examples):
    problems = [Problem(reason, f"line {number}", "", count) for number, (reason, count) in enumerate(made)]
    short = shorten(problems, examples)
    before, after = Counter(), Counter()
    for problem in problems:
        before[problem.reason] += problem.count
    for problem in short:
        after[problem.reason] += problem.count
    assert before == after
    assert all(count <= examples + 1 for count in Counter(problem.reason for problem in short).values())
    # the problem that stands for the rest names the first of them
    for reason in before:
        mine = [problem.where for problem in problems if problem.reason == reason]
        assert [problem.where for problem in short if problem.reason == reason] == mine[: examples + 1]

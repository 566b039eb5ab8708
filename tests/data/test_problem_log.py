from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hf_hyperbolic.data.boxes import Problem
from hf_hyperbolic.data.problem_log import ProblemLog


def test_the_first_of_each_reason_stand_one_by_one_and_the_rest_are_counted():
    log = ProblemLog(examples=2)
    for number in range(5):
        log.add("too_small", f"row {number}", "why")
        if number == 3:
            log.add("crowd", "row 3", "why")
    assert log.problems() == (
        Problem("too_small", "row 0", "why"),
        Problem("too_small", "row 1", "why"),
        Problem("too_small", "row 2", "why", count=3),
        Problem("crowd", "row 3", "why"),
    )
    assert log.summary() == " (skipped: 5 too_small, 1 crowd)"
    assert ProblemLog().summary() == ""
    assert ProblemLog().problems() == ()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5))), st.integers(0, 4))
def test_no_problem_is_lost_and_none_counted_twice(met, examples):
    log = ProblemLog(examples)
    for number, (reason, count) in enumerate(met):
        log.add(reason, str(number), "why", count)
    expected: Counter[str] = Counter()
    for reason, count in met:
        expected[reason] += count
    counted: Counter[str] = Counter()
    for problem in log.problems():
        counted[problem.reason] += problem.count
    assert counted == expected
    assert max(Counter(problem.reason for problem in log.problems()).values(), default=0) <= examples + 1
    # in the order met
    places = [int(problem.where) for problem in log.problems()]
    assert places == sorted(places)

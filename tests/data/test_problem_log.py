from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hf_hyperbolic.data.boxes import Problem
from hf_hyperbolic.data.problem_log import EXAMPLES, ProblemLog


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
    log = ProblemLog(examples=examples)
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


@given(st.lists(st.lists(st.sampled_from(["late", "torn"]), max_size=60), max_size=5))
def test_parts_of_a_file_add_up_and_examples_are_the_first(parts):
    whole, number = ProblemLog(), 0
    for part in parts:
        log = ProblemLog()
        for reason in ("late", "torn"):
            problems = [Problem(reason, str(number + i), "") for i, found in enumerate(part) if found == reason]
            log.add_many(reason, len(problems), problems[: EXAMPLES + 1])
        whole.merge(log)
        number += len(part)
    everything = [reason for part in parts for reason in part]
    for reason in ("late", "torn"):
        where = [str(i) for i, found in enumerate(everything) if found == reason]
        listed = [problem for problem in whole.problems() if problem.reason == reason]
        assert sum(problem.count for problem in listed) == len(where)
        assert [problem.where for problem in listed] == where[: EXAMPLES + 1]
        assert all(problem.count == 1 for problem in listed[:EXAMPLES])


def test_a_long_list_given_whole_is_shortened():
    problems = [Problem("torn", f"line {n}", "why") for n in range(100)]
    short = ProblemLog(problems).problems()
    assert short == (*problems[:EXAMPLES], Problem("torn", f"line {EXAMPLES}", "why", 100 - EXAMPLES))

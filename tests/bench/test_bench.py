"""Figures mean what they say: the arithmetic of the measurements."""

from __future__ import annotations

import pytest
from bench.load import Counted, read
from bench.table import Row, as_markdown, renewed
from bench.undo import recovered

GOOD = """Running 20s test @ http://127.0.0.1:24098
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     9.65ms   16.50ms   1.19s    91.68%
    Req/Sec     4.11k     1.02k    7.25k    70.00%
  39527 requests in 20.01s, 4.10MB read
{more}Requests/sec:   1975.36
Transfer/sec:    209.77KB
"""


def test_every_kind_of_failed_request_is_counted() -> None:
    """Broken connections, time-outs and wrong answers all count."""
    more = "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 50\n"
    assert read(GOOD.format(more=more)) == Counted(39527, 60, 1975.36, 1190.0)


def test_a_load_without_a_failure_counts_none() -> None:
    """What wrk does not mention did not happen."""
    assert read(GOOD.format(more="")).failed == 0


def test_a_load_that_counted_nothing_is_no_success() -> None:
    """An error of the load itself must not look like no failed request."""
    with pytest.raises(ValueError, match="unable to connect"):
        read("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_an_undo_ends_with_the_last_new_answer_not_with_the_first_old_one() -> None:
    """An old answer between new ones is no recovery."""
    answers = [(1.0, "old"), (2.0, "new"), (3.0, "old"), (4.0, "new"), (5.0, "old"), (6.0, "old")]
    assert recovered(answers, "old") == 5.0


def test_an_undo_that_left_something_new_is_no_recovery() -> None:
    """It is an error, not a figure."""
    with pytest.raises(ValueError, match="old release"):
        recovered([(1.0, "old"), (2.0, "new")], "old")


def test_a_promise_is_kept_up_to_its_bound_and_unknown_without_a_figure() -> None:
    """A row never says "yes" about something that was not measured."""
    assert Row("", 1.2, "×", bound=1.2).kept is True
    assert Row("", 1.21, "×", bound=1.2).kept is False
    assert Row("", None, "×", "why", 1.2).kept is None
    assert Row("", 1.0, "×").kept is None


def test_the_table_can_be_kept_in_a_document() -> None:
    """One line per row, with the same words as on the screen."""
    assert as_markdown([Row("up", 1.25, "×", "a | b", 1.2)]).splitlines()[2] == (
        r"| up | 1.25 × | a \| b | ≤ 1.2 × | NO |"
    )


def test_what_was_measured_again_replaces_its_rows_and_leaves_the_others() -> None:
    """With when and by what command; a second time that line stands once."""
    old = "# Results\n\n`make bench ARGS=--write`: then.\n\n" + as_markdown([Row("a", 1, "s"), Row("b", 2, "s")])
    new = renewed(renewed(old, "b c", "later", [Row("b", 3, "s")]), "b c", "now", [Row("b", 4, "s"), Row("c", 5, "s")])
    assert new.count("`python -m bench b c --write`") == 1
    assert "now." in new
    assert [line.split("|")[1:3] for line in new.splitlines() if line.startswith("|")][2:] == [
        [" a ", " 1 s "],
        [" b ", " 4 s "],
        [" c ", " 5 s "],
    ]

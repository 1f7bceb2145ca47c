from __future__ import annotations

from vmferry.workflows.endings import Failed, describe_failure

REASON = "object 'a.raw' in bucket uploads: vpus is 'many': it has to be a number; correct the metadata"


def test_the_note_says_what_the_task_said() -> None:
    note = describe_failure([Failed("get_file_head (try 1)", REASON)])
    assert note.startswith(f"get_file_head (try 1) failed: {REASON}. Nothing that was proven is lost.")
    assert "was killed" not in note


def test_the_note_of_a_task_without_a_word_says_what_that_means() -> None:
    note = describe_failure([Failed("write (try 3)"), Failed("verify (try 1)", REASON)])
    assert note.startswith(f"verify (try 1) failed: {REASON}. write (try 3) failed. The log of the last try")
    assert "was killed" in note


def test_the_note_fits_into_what_airflow_keeps() -> None:
    long = "object '" + "x" * 1020 + ".raw' in bucket uploads: it is empty; upload it again"
    failed = [
        Failed("get_file_head (try 1)", long),
        *(Failed(f"a_task_with_a_long_name[{n}] (try 3)") for n in range(9)),
    ]
    note = describe_failure(failed)
    assert len(note) <= 1000
    assert "it is empty; upload it again." in note
    assert "and 4 more failed" in note

"""The check that keeps files and functions short."""

from pathlib import Path

from scripts.check_sizes import MAX_FILE_LINES, MAX_FUNCTION_LINES, find_faults


def function_of(lines: int, *, docstring_lines: int = 0) -> str:
    docstring = '    """First.\n' + "    More.\n" * (docstring_lines - 2) + '    """\n' if docstring_lines else ""
    return "@decorate\ndef work():\n" + docstring + "    pass\n" * (lines - 1)


def test_a_function_at_the_limit_passes_and_its_docstring_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "pump.py"
    path.write_text(function_of(MAX_FUNCTION_LINES, docstring_lines=9))
    assert list(find_faults(path, "pump.py")) == []


def test_a_longer_function_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "pump.py"
    path.write_text("import os\n" + function_of(MAX_FUNCTION_LINES + 1))
    assert list(find_faults(path, "pump.py")) == ["pump.py:3: work() has 41 lines, at most 40"]


def test_a_long_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pump.py"
    path.write_text("x = 1\n" * MAX_FILE_LINES)
    assert list(find_faults(path, "pump.py")) == []
    path.write_text("x = 1\n" * (MAX_FILE_LINES + 1))
    (fault,) = find_faults(path, "pump.py")
    assert fault.startswith("pump.py:1: 401 lines")

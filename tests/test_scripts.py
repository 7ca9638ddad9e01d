"""Tests that `run_here` runs a script as a separate process would."""

import pytest
from scripts import Done, run_here


@pytest.fixture
def run(tmp_path):
    def run(code, *options):
        (tmp_path / "script.py").write_text(code)
        return run_here(tmp_path / "script.py", *options)

    return run


def test_output_log_and_exit_status_are_captured(run):
    code = "import logging, sys; print(sys.argv[1]); logging.getLogger('x').warning('careful')"
    assert run(code, "here") == Done(0, "here\n", "careful\n")
    assert run("import sys; sys.exit('no such file')") == Done(1, "", "no such file\n")
    assert run("import sys; sys.exit(3)").returncode == 3


def test_deprecation_warning_in_a_script_is_an_error(run):
    with pytest.raises(DeprecationWarning, match="old"):
        run("import warnings; warnings.warn('old', DeprecationWarning)")


def test_exception_notes_contain_the_output(run):
    with pytest.raises(ZeroDivisionError) as caught:
        run("print('before'); 1 / 0")
    assert caught.value.__notes__ == ["before\n"]

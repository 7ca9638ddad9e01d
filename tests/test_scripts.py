"""Scripts that run in the process of the tests behave as in a process of their own."""

import pytest
from scripts import Done, run_here


@pytest.fixture
def run(tmp_path):
    def run(code, *options):
        (tmp_path / "script.py").write_text(code)
        return run_here(tmp_path / "script.py", *options)

    return run


def test_a_script_prints_logs_and_ends(run):
    code = "import logging, sys; print(sys.argv[1]); logging.getLogger('x').warning('careful')"
    assert run(code, "here") == Done(0, "here\n", "careful\n")
    assert run("import sys; sys.exit('no such file')") == Done(1, "", "no such file\n")
    assert run("import sys; sys.exit(3)").returncode == 3


def test_a_script_that_calls_what_is_deprecated_fails(run):
    with pytest.raises(DeprecationWarning, match="old"):
        run("import warnings; warnings.warn('old', DeprecationWarning)")


def test_an_exception_carries_what_was_printed(run):
    with pytest.raises(ZeroDivisionError) as caught:
        run("print('before'); 1 / 0")
    assert caught.value.__notes__ == ["before\n"]

"""Tests the file names of runs and checkpoints, which earlier runs already use."""

import pytest

from jaxgan._internal import run_layout


def test_names_on_disk():
    assert (run_layout.CONFIG, run_layout.MANIFEST) == ("config.json", "seal.json")
    names = ["7", "007", "7.damaged", "7.saving", "7.deleting", "7.other", "a7", "7a"]
    checkpoints = [name for name in names if run_layout.CHECKPOINT.fullmatch(name)]
    remnants = [name for name in names if run_layout.REMNANT.fullmatch(name)]
    assert (checkpoints, remnants) == (["7", "007", "7.damaged"], ["7.saving", "7.deleting"])


def test_checkpoint_has_a_manifest_or_a_mark(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "seal.json").touch()
    (tmp_path / "b" / ".jaxgan").touch()
    (tmp_path / "c" / "arrays").mkdir()
    (tmp_path / "d").symlink_to(tmp_path / "a")
    found = [run_layout.is_checkpoint(tmp_path / name) for name in "abcd"]
    assert found == [True, True, False, False]


@pytest.mark.parametrize(
    ("name", "files", "whole"),
    [
        ("7", ["seal.json", "arrays/d/0"], True),
        ("7.damaged", ["seal.json", "arrays/d/0"], True),
        ("7.saving", ["arrays.orbax-checkpoint-tmp/d"], True),
        ("7.saving", ["arrays/d", "notes.txt"], False),
        ("7", ["seal.json", "arrays/d", "notes.txt"], False),
        ("2024", ["arrays/scan.nii"], False),
        ("run", ["seal.json"], False),
    ],
)
def test_whole_checkpoint_contains_no_other_files(tmp_path, name, files, whole):
    for file in files:
        path = tmp_path / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert run_layout.is_whole_checkpoint(tmp_path / name) == whole

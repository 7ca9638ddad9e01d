"""The names on disk: pinned, because folders of earlier runs have them."""

from jaxgan._internal import run_layout


def test_names_on_disk():
    assert (run_layout.CONFIG, run_layout.MANIFEST) == ("config.json", "seal.json")
    names = ["7", "007", "7.damaged", "7.saving", "7.deleting", "7.other", "a7", "7a"]
    checkpoints = [name for name in names if run_layout.CHECKPOINT.fullmatch(name)]
    remnants = [name for name in names if run_layout.REMNANT.fullmatch(name)]
    assert (checkpoints, remnants) == (["7", "007", "7.damaged"], ["7.saving", "7.deleting"])


def test_a_checkpoint_has_a_manifest_or_arrays(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "seal.json").touch()
    (tmp_path / "b" / "arrays").mkdir()
    (tmp_path / "c" / "arrays").touch()
    assert [run_layout.is_checkpoint(tmp_path / name) for name in "abc"] == [True, True, False]

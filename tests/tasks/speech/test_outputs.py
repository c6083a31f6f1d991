from pathlib import Path

import pytest

from seqvae.errors import UserError
from seqvae.tasks.outputs import Plan, plan


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def outputs(found: Plan) -> list[str]:
    return [str(job.output) for job in found.jobs]


def test_folders_keep_their_structure_and_other_files_are_counted(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    touch(folder / "a.wav", folder / "deep/er/b.FLAC", folder / "notes.txt", folder / ".hidden.wav")
    touch(folder / ".git/x.wav")
    found = plan([folder], out)
    assert outputs(found) == [str(out / "a.wav"), str(out / "deep/er/b.wav")]
    assert (found.ignored, found.done) == (1, 0)


def test_no_two_results_share_a_file(tmp_path: Path) -> None:
    touch(
        tmp_path / "in/a.wav", tmp_path / "in/a.flac", tmp_path / "in/A.mp3", tmp_path / "b/a.wav"
    )
    out = tmp_path / "out"
    found = plan([tmp_path / "in", tmp_path / "b", tmp_path / "b/a.wav"], out)
    names = [name.casefold() for name in outputs(found)]
    assert len(names) == len(set(names)) == 4


def test_a_source_is_never_overwritten(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav", tmp_path / "b.wav")
    found = plan([tmp_path / "a.wav", tmp_path / "b.wav"], tmp_path, existing="replace")
    assert outputs(found) == [str(tmp_path / "a-2.wav"), str(tmp_path / "b-2.wav")]


def test_results_in_the_folder_itself_are_not_read_again(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav", tmp_path / "converted/a.wav")
    found = plan([tmp_path], tmp_path / "converted", existing="replace")
    assert [job.source for job in found.jobs] == [tmp_path / "a.wav"]


def test_what_exists_is_refused_skipped_or_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    touch(tmp_path / "a.wav", tmp_path / "b.wav", out / "a.wav")
    sources = [tmp_path / "a.wav", tmp_path / "b.wav"]
    with pytest.raises(UserError, match=r"a\.wav exists; .*--existing skip"):
        plan(sources, out)
    skipped = plan(sources, out, existing="skip")
    assert outputs(skipped) == [str(out / "b.wav")] and skipped.done == 1
    assert len(plan(sources, out, existing="replace").jobs) == 2


def test_a_file_named_by_itself_is_tried_whatever_its_ending(tmp_path: Path) -> None:
    touch(tmp_path / "call.bin")
    assert outputs(plan([tmp_path / "call.bin"], tmp_path / "out")) == [
        str(tmp_path / "out/call.wav")
    ]


def test_nothing_to_do_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="absent: no such file"):
        plan([tmp_path / "absent"], tmp_path / "out")
    touch(tmp_path / "in/readme.txt")
    with pytest.raises(UserError, match=r"no sound in .*in.*1 others are there"):
        plan([tmp_path / "in"], tmp_path / "out")
    with pytest.raises(UserError, match="no source is given"):
        plan([], tmp_path)

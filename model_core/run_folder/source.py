"""The study that a run was made from, found again."""

from __future__ import annotations

from pathlib import Path

from model_core.errors import InputError
from model_core.run_folder.run import Run
from model_core.study.study import Study, load_study


def study_of(run: Run) -> Study:
    """The study a run was made from: where its manifest says, or at the same place relative to the run.

    Raises
    ------
    InputError
        Neither is there, the study has problems (`load_study`), or its genome is another by now.
    """
    recorded = run.manifest["study"]
    if recorded is None:
        raise InputError(
            run.path, found="a run without a study", expected="one that names its study.toml", fix="train again"
        )
    places = [Path(recorded["path"]), run.path / recorded["relative"]]
    for path in places:
        if path.is_file():
            study = load_study(path)
            run.require_genome(study.genome().sizes, study.genome().path)
            return study
    raise InputError(
        run.path, found=f"no study at {places[0]}", expected="the study it was made from", fix="put it back there"
    )

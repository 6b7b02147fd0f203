"""Connection between a run and its study: creation of a run for a study, and the study from which a run was made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from model_core.config import Seq2ExpConfig
from model_core.errors import InputError
from model_core.input_file import is_regular
from model_core.run_folder.remote_inputs import remote_inputs, warn_of_changes
from model_core.run_folder.run import Run
from model_core.study.study import Study, load_study


def new_run_of(study: Study, model: Seq2ExpConfig, out: Path, **entries: Any) -> Run:
    """Create the run folder of a model that reads a study.

    Parameters
    ----------
    study : Study
        The study; chromosome sizes, blacklist and resolved settings are copied into the folder.
    model : Seq2ExpConfig
        Settings of the model, which decide what its masks mean.
    out : Path
        The folder, missing or empty.
    **entries : Any
        Other arguments of `Run.create`: `config` (the settings to record), kind, seed, checkpoint, resolution.

    Raises
    ------
    InputError
        As `Run.create`.
    """
    return Run.create(
        out,
        variant=model.variant,
        decision=model.mask.decision,
        band=model.band,
        window=model.window,
        promoter=model.promoter,
        chrom_sizes=study.genome().sizes,
        simulated=study.simulated,
        study=study.path,
        resolved=study.resolved(),
        blacklist=study.blacklist(),
        inputs=remote_inputs(study),
        control=study.control,
        members=model.stored_members,
        contact=study.contact_of(model),
        **entries,
    )


def require_same_inputs(run: Run, study: Study) -> None:
    """Check that a study has the genome of a run, and is the same negative control, if the run is of one.

    Files at addresses that changed since the run was made are warned of.

    Raises
    ------
    InputError
        Another genome (`Run.require_genome`), or another control.
    """
    recorded = run.manifest.get("control")
    if recorded != study.control:
        found, expected = (control or "the study itself" for control in (recorded, study.control))
        found = f"a run of {found if recorded is None else f'the negative control {found!r}'}"
        expected = f"one of {expected if study.control is None else f'the negative control {expected!r}'}"
        raise InputError(run.path, found=found, expected=expected, fix="choose another folder")
    run.require_genome(study.genome().sizes, study.genome().path)
    warn_of_changes(run.manifest.get("inputs"), study)


def study_of(run: Run) -> Study:
    """Load the study from which a run was made: from its recorded path, or from the same path relative to the run.

    Files at addresses that have changed since are warned of, as by `require_same_inputs`.

    Raises
    ------
    InputError
        Neither file exists, the study has problems (`load_study`), or its genome has changed.
    """
    recorded = run.manifest["study"]
    if recorded is None:
        raise InputError(
            run.path, found="a run without a study", expected="one that names its study.toml", fix="train again"
        )
    places = [Path(recorded["path"]), run.path / recorded["relative"]]
    for path in places:
        if is_regular(path):
            study = load_study(path)
            if control := run.manifest.get("control"):
                study = study.as_control(control, run.manifest.get("seed") or 0)
            require_same_inputs(run, study)
            return study
    raise InputError(
        run.path, found=f"no study at {places[0]}", expected="the study it was made from", fix="put it back there"
    )

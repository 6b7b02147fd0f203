"""A calibration of a run that was not fitted, for tests of what reads and shows one."""

from typing import Any

from model_core.run_folder.run import Run


def write_calibration(run: Run) -> dict[str, Any]:
    """Write a calibration.json that counts for a run, and return its content."""
    level = {"score_from": 0.5, "score_to": 0.75, "elements": 60, "causal": 30, "chance": 0.5}
    record = {
        "schema": 1,
        "score": "mean_mask",
        "map": {"score": [0.5, 0.75], "chance": [0.25, 0.875]},
        "validation": {"genes": 40, "elements": 60, "causal": 30, "curve": [level]},
        "test": None,
        "rule": run.rule.to_dict(),
        "checkpoint": run.checkpoint_sha256,
        "truth": {"path": "truth/causal.bed", "sha256": "0" * 64},
        "limits": [],
    }
    run.write_json("calibration.json", record)
    return record

"""A small simulated study and a scored run of it whose masks are made here, without a network."""

from pathlib import Path

import numpy as np

from model_core.bed import read_bed
from model_core.config import Seq2ExpConfig
from model_core.run_folder.assemble import assemble
from model_core.run_folder.elements import ElementRule
from model_core.run_folder.run import Run
from model_core.simulation.simulate import simulate_study
from model_core.simulation.world import World
from model_core.study.study import Study, load_study
from model_core.window import Window

WORLD = World(genes=(4, 4, 10), validation_genes=2, window=4_096)


def make_planted_study(folder: Path, seed: int = 5) -> Path:
    """Simulate 18 genes and write peaks over the causal elements with strong signal and over the decoys."""
    path = simulate_study(folder, seed, WORLD)
    lines = []
    for kind in ("causal", "decoys"):
        for line in (folder / "truth" / f"{kind}.bed").read_text().splitlines()[1:]:
            chrom, start, end, name, score, _, _, _, strength, *_ = line.split("\t")
            if strength == "strong":
                lines.append(f"{chrom}\t{start}\t{end}\t{name}\t0\t.\t{score}\t-1\t-1\t-1")
    (folder / "peaks").mkdir()
    (folder / "peaks" / "MACS3.narrowPeak").write_text("\n".join(sorted(lines)) + "\n")
    return path


def make_planted_run(folder: Path, study_file: Path, seed: int = 0, sequence: float = 0.05, resolution: int = 1) -> Run:
    """Score all genes as a faithful soft model would whose sequence part says next to nothing, and assemble.

    Parameters
    ----------
    sequence : float
        Sd of the noise in alpha1; the signals' part is that of the study.
    """
    study, rng = load_study(study_file), np.random.default_rng(seed)
    config = study.config(variant="soft")
    run = Run.create(
        folder,
        kind="training",
        name=folder.name,
        window=config.window,
        promoter=config.promoter,
        resolution=resolution,
        chrom_sizes=study.genome().sizes,
        simulated=True,
        seed=seed,
        study=study_file,
        resolved=study.resolved(),
        blacklist=study.blacklist(),
        config={"model": config.to_dict()},
    )
    genes = study.gene_sites()
    with run.writing():
        for gene in genes.to_dict("records"):
            observed = gene["label"]
            gene |= {"observed": observed, "predicted": observed + float(rng.normal(0, 0.3))}
            run.append(gene, *soft_mask(study, config, gene, sequence, rng))
    assemble(run, study.peaks_path())
    return run


def soft_mask(study: Study, config: Seq2ExpConfig, gene: dict, sequence: float, rng) -> tuple[np.ndarray, np.ndarray]:
    """alpha, beta (L,) of the released soft model's formula, with noise in place of what a network reads."""
    signals = study.reader().read(Window(gene["chrom"], gene["tss"], gene["strand"], config.window)).signals
    w, b = np.array(config.prior.w), np.array(config.prior.b)
    alpha1 = np.maximum(config.prior.beta_min, 1.7 + rng.normal(0, sequence, config.window))
    alpha = alpha1 + ((signals + config.prior.beta_min) * config.prior.scale) @ w
    return alpha, np.full(config.window, 1.7 + (b + config.prior.beta_min) @ w * config.prior.scale)


def make_marked_run(folder: Path, study: Study, seed: int = 0, members: int | None = None) -> Run:
    """Score all genes with masks that mark what is planted: causal elements mostly higher than decoys, noise between.

    No signal is read, so that many genes take little time.

    Parameters
    ----------
    members : int
        Members of an ensemble whose effects are stored, too: a thousandth of the mask, and noise of each member.
    """
    rng = np.random.default_rng(seed)
    config = study.config(variant="soft")
    run = Run.create(
        folder,
        kind="training",
        window=config.window,
        promoter=config.promoter,
        resolution=8,
        chrom_sizes=study.genome().sizes,
        simulated=True,
        study=study.path,
        resolved=study.resolved(),
        config={"model": config.to_dict()},
        members=members,
    )
    causal, decoys = (read_bed(path) for path in (study.truth.causal, study.truth.decoys))
    with run.writing():
        for gene in study.gene_sites().to_dict("records"):
            start = gene["tss"] - config.window // 2
            mean = rng.uniform(0.02, 0.1, config.window)
            for planted, low, high in ((causal[causal["gene"] == gene["gene_id"]], 0.4, 0.95), (decoys, 0.3, 0.7)):
                here = planted[(planted["chrom"] == gene["chrom"]) & (planted["end"] > start)]
                for element in here[here["start"] < start + config.window].itertuples():
                    mean[max(element.start - start, 0) : element.end - start] = rng.uniform(low, high)
            effects = None
            if members is not None:
                effects = 1e-3 * mean.reshape(-1, 8).sum(1) + rng.normal(0, 1e-3, (members, config.window // 8))
            said = {"observed": gene["label"], "predicted": gene["label"]}
            run.append(gene | said, 10 * mean, 10 * (1 - mean), effects)
    assemble(run, rule=ElementRule(0.25))
    return run

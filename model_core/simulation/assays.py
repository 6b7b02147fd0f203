"""Measurements in a simulated world: DNase tags, H3K27ac, Hi-C contacts and CAGE."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from model_core.simulation.planting import TELOMERE, Planted
from model_core.simulation.transcripts import UTR5_GC
from model_core.simulation.world import World


class Tags(NamedTuple):
    """Sequenced tags of one chromosome, as the number of 5' ends at each base of each strand.

    Attributes
    ----------
    forward, reverse : ndarray
        int16 (size + 1,). A forward tag at p reads the bases from p on, a reverse tag those before p.
    """

    forward: np.ndarray
    reverse: np.ndarray


class Contacts(NamedTuple):
    """Contacts of one chromosome's bins near the diagonal; column k pairs bin i with bin i + k.

    Attributes
    ----------
    true : ndarray
        float64 (bins, reach), contact relative to full contact, without a bin's visibility.
    counts : ndarray
        int32 (bins, reach), the Hi-C counts.
    """

    true: np.ndarray
    counts: np.ndarray


def mappability(size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the mappability of each base, float32 (size,): around 1, slowly changing, 0 where the sequence is unknown.

    It is the background of every experiment, so that a control shows the background.
    """
    knots = rng.gamma(6, 1 / 6, size // 1_000 + 2)
    seen = np.interp(np.arange(size), np.arange(len(knots)) * 1_000, knots).astype(np.float32)
    seen[:TELOMERE] = seen[-TELOMERE:] = 0
    return seen


def dnase_profile(world: World, planted: Planted, chrom: str, seen: np.ndarray) -> np.ndarray:
    """Return the expected DNase signal, float32 (size,): a flat-topped peak over each open element and promoter."""
    profile = world.dnase_background * seen
    for site in _open_sites(planted, chrom):
        first, shape = _flat_top(site.start, site.end, shoulder=25)
        profile[first : first + len(shape)] += site.dnase * shape
    return _with_artefacts(world, planted, chrom, profile)


def h3k27ac_profile(world: World, planted: Planted, chrom: str, seen: np.ndarray) -> np.ndarray:
    """Return the expected H3K27ac signal, float32 (size,): broader than DNase, with a dip at the open element."""
    profile = world.h3k27ac_background * seen
    for site in _open_sites(planted, chrom):
        first, shape = _flat_top(site.start - 150, site.end + 150, shoulder=120)
        dip_first, dip = _flat_top(site.start, site.end, shoulder=80)
        shape[dip_first - first : dip_first - first + len(dip)] *= 1 - 0.7 * dip
        profile[first : first + len(shape)] += site.h3k27ac * shape
    return _with_artefacts(world, planted, chrom, profile)


def control_profile(world: World, planted: Planted, chrom: str, seen: np.ndarray) -> np.ndarray:
    """Return the expected control signal, float32 (size,): background and the artefacts that DNase has, too."""
    return _with_artefacts(world, planted, chrom, world.control_background * seen)


def sequence_tags(world: World, profile: np.ndarray, fragment: int, rng: np.random.Generator) -> Tags:
    """Draw tags from a profile: Poisson counts, half on either strand; each later covers `fragment` bp."""
    expected = np.append(profile, 0.0) * (world.tags_per_unit / fragment / 2)
    return Tags(rng.poisson(expected).astype(np.int16), rng.poisson(expected).astype(np.int16))


def pile_up(world: World, tags: Tags, fragment: int) -> np.ndarray:
    """Count the tags over each base, float32 (size,): centred on the 5' end, `fragment` bp long, over `tags_per_unit`.

    The same pile-up as MACS3's with --nomodel --shift -fragment/2 --extsize fragment.
    """
    half = fragment // 2
    total = np.cumsum(np.pad(tags.forward.astype(np.int32) + tags.reverse, (half, half)))
    size = len(tags.forward) - 1
    return ((total[2 * half : 2 * half + size] - total[:size]) / world.tags_per_unit).astype(np.float32)


def measure_contacts(world: World, size: int, rng: np.random.Generator) -> Contacts:
    """Draw contacts of a chromosome of `size` bp: power-law decay, gamma noise, visible bins, Poisson counts."""
    bins, reach = -(-size // world.hic_resolution), world.hic_reach // world.hic_resolution
    distance = np.arange(reach) * world.hic_resolution
    decay = (1 + distance / world.decay_distance) ** -world.decay_power
    true = decay * rng.gamma(world.contact_shape, 1 / world.contact_shape, (bins, reach))
    true[np.arange(bins)[:, None] + np.arange(reach) >= bins] = 0  # beyond the end of the chromosome
    visible = np.pad(rng.lognormal(0, world.bin_bias, bins), (0, reach))
    unmapped = -(-TELOMERE // world.hic_resolution)
    visible[:unmapped] = visible[bins - unmapped :] = 0
    pairs = visible[:bins, None] * visible[np.arange(bins)[:, None] + np.arange(reach)]
    return Contacts(true, rng.poisson(world.hic_depth * true * pairs).astype(np.int32))


def contact_with_tss(
    world: World, elements: pd.DataFrame, tss: np.ndarray, contacts: dict[str, Contacts]
) -> np.ndarray:
    """Return the true contact between each element's centre and its gene's start site, float64 (n,).

    Parameters
    ----------
    world : World
        The world.
    elements : DataFrame
        N elements: chrom, start, end.
    tss : ndarray
        int64 (n,), 0-based start site of each element's gene.
    contacts : dict[str, Contacts]
        By chromosome.
    """
    near = (elements.start + elements.end).to_numpy() // 2 // world.hic_resolution
    far = np.asarray(tss) // world.hic_resolution
    first, apart = np.minimum(near, far), np.abs(near - far)
    rows = zip(elements.chrom, first, apart, strict=True)
    return np.array([contacts[chrom].true[bin, distance] for chrom, bin, distance in rows])


def measure_expression(
    world: World, genes: pd.DataFrame, elements: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    """Draw each gene's expression and its parts, on the scale of log10(CAGE + 1).

    Parameters
    ----------
    world : World
        The world.
    genes : DataFrame
        N genes: gene_id, promoter_strength, utr5_gc.
    elements : DataFrame
        Elements: gene_id and effect.
    rng : Generator
        Source of random numbers.

    Returns
    -------
    DataFrame
        N genes: gene_id; promoter, features, elements, noise (the parts); cage (int64, the measured count); expression
        (log10(cage + 1), which differs a little from the sum of the parts by rounding and the floor at 0).
    """
    effects = elements.groupby("gene_id").effect.sum().reindex(genes.gene_id, fill_value=0.0).to_numpy()
    low, high = UTR5_GC
    gc = (genes.utr5_gc.to_numpy() - (low + high) / 2) / ((high - low) / np.sqrt(12))
    parts = pd.DataFrame({"gene_id": genes.gene_id})
    parts["promoter"] = world.promoter_effect * genes.promoter_strength.to_numpy()
    parts["features"] = world.utr5_gc_effect * gc
    parts["elements"] = effects
    parts["noise"] = rng.normal(0, world.noise, len(genes))
    total = world.baseline + parts.promoter + parts.features + parts.elements + parts.noise
    parts["cage"] = np.rint(np.maximum(10**total - 1, 0)).astype(np.int64)
    parts["expression"] = np.log10(parts.cage + 1)
    return parts


def _open_sites(planted: Planted, chrom: str) -> Iterator[Any]:
    """Return rows with start, end, dnase, h3k27ac: the elements with signal, and 380 bp of each promoter."""
    columns = ["start", "end", "dnase", "h3k27ac"]
    elements = planted.elements[(planted.elements.chrom == chrom) & (planted.elements.dnase > 0)]
    promoters = planted.genes[planted.genes.chrom == chrom].copy()
    promoters["start"] = promoters.tss + np.where(promoters.strand == "+", -230, -150)
    promoters["end"] = promoters.start + 380
    return pd.concat([elements[columns], promoters[columns]]).itertuples()


def _flat_top(start: int, end: int, shoulder: int) -> tuple[int, np.ndarray]:
    """Return first base and float32 values of a peak: 1 inside [start, end), falling to 0 over `shoulder` bp."""
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(shoulder) + 0.5) / shoulder)
    shape = np.concatenate([ramp, np.ones(end - start), ramp[::-1]])
    return start - shoulder, shape.astype(np.float32)


def _with_artefacts(world: World, planted: Planted, chrom: str, profile: np.ndarray) -> np.ndarray:
    regions = planted.blacklist[(planted.blacklist.chrom == chrom) & planted.blacklist.artefact]
    for region in regions.itertuples():
        profile[region.start + 50 : region.end - 50] += world.artefact_height
    return profile

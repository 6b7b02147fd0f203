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


def measure_contacts(world: World, size: int, insulators: np.ndarray, rng: np.random.Generator) -> Contacts:
    """Draw contacts of a chromosome: power-law decay, insulators, gamma noise, visible bins, Poisson counts.

    Parameters
    ----------
    world : World
        The world.
    size : int
        Length of the chromosome in bp.
    insulators : ndarray
        int64 (n,), places that reduce contact across them.
    rng : Generator
        Source of random numbers.
    """
    bins, reach = -(-size // world.hic_resolution), world.hic_reach // world.hic_resolution
    distance = np.arange(reach) * world.hic_resolution
    decay = (1 + distance / world.decay_distance) ** -world.decay_power
    true = decay * rng.gamma(world.contact_shape, 1 / world.contact_shape, (bins, reach))
    left = np.searchsorted(np.sort(insulators), np.arange(bins + reach) * world.hic_resolution)  # of each bin
    true *= world.insulation ** (left[np.arange(bins)[:, None] + np.arange(reach)] - left[:bins, None])
    true[np.arange(bins)[:, None] + np.arange(reach) >= bins] = 0  # beyond the end of the chromosome
    visible = np.pad(rng.lognormal(0, world.bin_bias, bins), (0, reach))
    unmapped = -(-TELOMERE // world.hic_resolution)
    visible[:unmapped] = visible[bins - unmapped :] = 0
    pairs = visible[:bins, None] * visible[np.arange(bins)[:, None] + np.arange(reach)]
    return Contacts(true, rng.poisson(world.hic_depth * true * pairs).astype(np.int32))


def effects_in_reach(
    world: World, elements: pd.DataFrame, genes: pd.DataFrame, contacts: dict[str, Contacts]
) -> pd.DataFrame:
    """Return the planted effect of each element on each gene in reach: size x contact where it is open, else 0.

    Parameters
    ----------
    world : World
        The world.
    elements : DataFrame
        Elements: name, chrom, start, end, kind, size.
    genes : DataFrame
        Genes: gene_id, chrom, tss.
    contacts : dict[str, Contacts]
        By chromosome.

    Returns
    -------
    DataFrame
        chrom start end element kind gene (gene_id) distance (bp from centre to start site) contact effect, in order of
        elements and genes.
    """
    reach = (world.hic_reach // world.hic_resolution - 1) * world.hic_resolution
    tables = []
    for chrom, mine in elements.groupby("chrom", sort=False):
        sites = genes[genes.chrom == chrom]
        centre, tss = ((mine.start + mine.end) // 2).to_numpy(), sites.tss.to_numpy()
        row, column = np.nonzero(np.abs(centre[:, None] - tss) < reach)
        near, far = centre[row] // world.hic_resolution, tss[column] // world.hic_resolution
        contact = contacts[str(chrom)].true[np.minimum(near, far), np.abs(near - far)]
        table = mine.iloc[row][["chrom", "start", "end", "name", "kind"]].rename(columns={"name": "element"})
        table = table.assign(gene=sites.gene_id.to_numpy()[column], distance=np.abs(centre[row] - tss[column]))
        size = np.where(table.kind == "causal", mine["size"].to_numpy()[row], 0.0)
        tables.append(table.assign(contact=contact, effect=size * contact))
    return pd.concat(tables, ignore_index=True)


def measure_expression(
    world: World, genes: pd.DataFrame, effects: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    """Draw each gene's expression and its parts, on the scale of log10(CAGE + 1).

    Parameters
    ----------
    world : World
        The world.
    genes : DataFrame
        N genes: gene_id, promoter_strength, utr5_gc.
    effects : DataFrame
        Effects of elements: gene and effect.
    rng : Generator
        Source of random numbers.

    Returns
    -------
    DataFrame
        N genes: gene_id; promoter, features, elements, noise (the parts); cage (int64, the measured count); expression
        (log10(cage + 1), which differs a little from the sum of the parts by rounding and the floor at 0).
    """
    distal = effects.groupby("gene").effect.sum().reindex(genes.gene_id, fill_value=0.0).to_numpy()
    low, high = UTR5_GC
    gc = (genes.utr5_gc.to_numpy() - (low + high) / 2) / ((high - low) / np.sqrt(12))
    parts = pd.DataFrame({"gene_id": genes.gene_id})
    parts["promoter"] = world.promoter_effect * genes.promoter_strength.to_numpy()
    parts["features"] = world.utr5_gc_effect * gc
    parts["elements"] = distal
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

/* Regions {chrom, start, end}, 0-based half-open, as text and as new regions. */

/* "chr1:1,001-2,000", 1-based, for reading. */
export const regionText = ({ chrom, start, end }) => `${chrom}:${(start + 1).toLocaleString("en")}-${end.toLocaleString("en")}`;

/* "chr1:1001-2000", 1-based, for addresses; the server reads it back. */
export const plainText = ({ chrom, start, end }) => `${chrom}:${start + 1}-${end}`;

/* A number of bases with its unit. */
export const lengthText = (bases) =>
  bases >= 1e6 ? `${(bases / 1e6).toFixed(2)} Mb` : bases >= 1e3 ? `${(bases / 1e3).toFixed(1)} kb` : `${bases} bp`;

/* The region of `width` bases around the middle of another. */
export function around({ chrom, start, end }, width) {
  const middle = (start + end) / 2;
  return { chrom, start: Math.max(0, Math.round(middle - width / 2)), end: Math.round(middle + width / 2) };
}

/* An element or a peak with its surroundings. */
export const wideView = (region) => around(region, Math.max(6 * (region.end - region.start), 400));

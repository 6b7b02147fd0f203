"""Bytes and who may have them: ranges, access, the files of igv.js."""

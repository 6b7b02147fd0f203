"""Byte ranges of files, access control, and the files of igv.js and of the page."""

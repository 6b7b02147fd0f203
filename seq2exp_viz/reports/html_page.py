"""The HTML document of a report: one file without requests to any server, in the colours of the page."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from model_core.palette import BOX, DARK, LIGHT, css_variables


def html_page(title: str, style: str, parts: Iterable[str], dark: bool = False) -> str:
    """Return an HTML document.

    Parameters
    ----------
    title : str
        Title of the document, escaped here.
    style : str
        Style sheet; it may use the variables of `palette.LIGHT` and --box, the background of a caveat.
    parts : Iterable[str]
        HTML of the body, one below the other.
    dark : bool
        Whether it follows the colour scheme of the browser. Its figures must then use the text colour of the page.
    """
    schemes = f":root {{ color-scheme: light; {css_variables(LIGHT | {'box': BOX['light']})} }}"
    if dark:
        variables = css_variables(DARK | {"box": BOX["dark"]})
        schemes = schemes.replace("color-scheme: light;", "color-scheme: light dark;")
        schemes += f"\n@media (prefers-color-scheme: dark) {{ :root {{ {variables} }} }}"
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            # The file's own policy allows no request.
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            f"<title>{escape(title)}</title>\n<style>\n{schemes}{style}</style>\n</head>\n<body>\n<main>",
            *parts,
            "</main>\n</body>\n</html>\n",
        ]
    )

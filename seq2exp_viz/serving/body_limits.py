"""How many bytes the body of a request may have."""

LONGEST_BODY = 1_048_576
LONGEST_UPLOAD = 20_000_000  # of a dropped track; more than a track may have, which the page is told in its own words


def longest_body(path: str) -> int:
    """Return how many bytes a request for a path may send."""
    return LONGEST_UPLOAD if path.endswith("/own") else LONGEST_BODY

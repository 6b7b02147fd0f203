"""What people type for an option, as settings."""

from __future__ import annotations

from model_core.errors import InputError


def mask_settings(text: str) -> dict:
    """Model settings of --mask; "top:10%" is the learned mask cut to its highest tenth."""
    if not text.startswith("top:"):
        return {"mask": text}
    share = text.removeprefix("top:").removesuffix("%")
    try:
        percent = float(share)
    except ValueError:
        percent = 0.0
    if not 0 < percent < 100:
        raise InputError("--mask", found=repr(text), expected="top: and a percentage, as in top:10%", fix="correct it")
    return {"decision": "top", "top_share": percent / 100}


def parse_seeds(text: str) -> list[int]:
    """The numbers of "2,22,222"."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdigit() for word in words) or len(set(words)) != len(words):
        raise InputError(
            "--seeds", found=repr(text), expected="different whole numbers, comma between", fix="correct it"
        )
    return [int(word) for word in words]

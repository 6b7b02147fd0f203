"""Build hook: fetch igv.js by npm for the wheel and the sdist; without npm, warn and build without it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class VendorIgv(BuildHookInterface):
    """Hook that runs ``seq2exp_viz/serving/vendor.py`` by its path, as the package cannot be imported while built."""

    def initialize(self, version: str, build_data: dict) -> None:
        root = Path(self.root)
        spec = importlib.util.spec_from_file_location("vendor", root / "seq2exp_viz" / "serving" / "vendor.py")
        vendor = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(vendor)
        try:
            self.app.display_info(vendor.vendor(root))
        except Exception as problem:  # a build without network or npm still gives a working viewer (igv.js 3.1.4)
            self.app.display_warning(f"igv.js 3.8 was not fetched: {problem}")
            return
        build_data.setdefault("artifacts", []).append("assets/vendor/*")

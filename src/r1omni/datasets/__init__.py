"""A release on disk becomes a manifest: one adapter per file, and the tools that check, count and mix manifests."""

ADAPTERS: dict[str, str] = {
    "crema_d": "r1omni.datasets.crema_d",
    "dfew": "r1omni.datasets.dfew",
    "emer": "r1omni.datasets.emer",
    "mafw": "r1omni.datasets.mafw",
    "meld": "r1omni.datasets.meld",
    "mer": "r1omni.datasets.mer",
    "mosei": "r1omni.datasets.mosei",
    "ov_merd": "r1omni.datasets.ov_merd",
    "r1omni_json": "r1omni.datasets.r1omni_json",
    "ravdess": "r1omni.datasets.ravdess",
    "table": "r1omni.datasets.table",
}
"""Corpus -> the module whose `read(root, **options)` makes a Release; imported when it is asked for."""

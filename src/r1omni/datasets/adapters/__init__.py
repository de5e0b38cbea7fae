"""One file per release: `read(root, **options)` turns a release on disk into a `Release`."""

ADAPTERS: dict[str, str] = {
    "crema_d": "r1omni.datasets.adapters.crema_d",
    "dfew": "r1omni.datasets.adapters.dfew",
    "emer": "r1omni.datasets.adapters.emer",
    "mafw": "r1omni.datasets.adapters.mafw",
    "meld": "r1omni.datasets.adapters.meld",
    "mer": "r1omni.datasets.adapters.mer",
    "mosei": "r1omni.datasets.adapters.mosei",
    "ov_merd": "r1omni.datasets.adapters.ov_merd",
    "r1omni_json": "r1omni.datasets.adapters.r1omni_json",
    "ravdess": "r1omni.datasets.adapters.ravdess",
    "table": "r1omni.datasets.adapters.table",
}
"""Corpus -> the module whose `read(root, **options)` returns a Release; imported on demand."""

"""Data for the recipes: sets that come along, sets to be had, and a user's own folder or table.

Nothing is imported until it is used, so naming and listing data sets costs almost nothing.
"""

import importlib

_HOMES = {
    "BatchPipeline": "pipeline",
    "Dataset": "base",
    "LengthBatches": "batches",
    "Vocabulary": "text",
    "tokenize": "text",
    "Ordered": "ordered",
    "OrderedBatches": "ordered",
    "Pipeline": "pipeline",
    "available": "catalog",
    "describe": "catalog",
    "encode_texts": "text",
    "fetch": "catalog",
    "load": "catalog",
    "one_row_per_pronunciation": "cmudict",
    "strip_stress": "cmudict",
    "validation_split": "splits",
}

__all__ = sorted(_HOMES)


def __getattr__(name):
    if name in _HOMES:
        return getattr(importlib.import_module(f"kerasdnn.data.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'kerasdnn.data' has no attribute '{name}'")


def __dir__():
    return sorted([*globals(), *_HOMES])

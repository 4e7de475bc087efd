"""The names by which a folder is known as one that DFDC or this project has filled."""

from __future__ import annotations

from collections.abc import Collection

METADATA_NAME = "metadata.json"
"""DFDC's labels, beside the videos."""

RECIPE_JSON = "recipe.json"
"""In a folder of aligned faces: how they were made."""
MAPS_JSON = "maps.json"
"""In a folder of activation maps: which pictures it holds."""
MADE_HERE = frozenset([RECIPE_JSON, MAPS_JSON])
"""A folder that holds one of them holds pictures that this project made."""

BOXES_DIR = "boxes"
RUNS_DIR = "runs"


def is_data_root(folders: Collection[str]) -> bool:
    """Return whether the names of the folders in a folder are those of a preprocessed data set."""
    return BOXES_DIR in folders and RUNS_DIR in folders

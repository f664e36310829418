"""Datasets in an empty store, on each kind of database."""

from support.dataset_fixtures import all_datasets, datasets, store, write

__all__ = ["all_datasets", "datasets", "store", "write"]

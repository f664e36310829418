"""Transfers of versions: pull, push, import, export.

This package uses the sources; models/sources can't hold it, since every module there is a kind of source.
"""

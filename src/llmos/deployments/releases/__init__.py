"""Releases: which version of an application an environment has, since when, by whom, and how it took over."""

"""Versions of applications: the files of a folder with app.yaml, immutable. Nothing of them is run here.

    apps = AppVersions(database, store, home / "apps").of("acme")   # those of one project
    version = apps.create(read_content(read, permissions))   # the same files are the same version
    apps.resolve("support:prod")                       # NAME, NAME:ALIAS, NAME@NUMBER, NAME@sha256:DIGEST
    apps.unpack(version)                               # a read-only folder with its files

Files are blobs, encrypted under the key of the project. Each file in prompts/ becomes a version of a prompt, too.

Lower layers don't know higher ones:

    comparing | descriptions
    app_versions
    queries | reading | unpacking
    versions
    tables
"""

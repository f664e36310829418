"""Operators: clean, select and label the rows of datasets. A recipe names them in order; each is one file in kinds/.

    recipe = read_recipe(Path("clean.toml").read_text())
    cleaned = clean(datasets, datasets.resolve("support@1"), recipe, Context())

A recipe is TOML:

    [[operator]]
    name = "normalize"

    [[operator]]
    name = "near_duplicates"
    threshold = 0.8

Lower layers don't know higher ones:

    cleaning
    recipe | spooled_items
    kinds
    near_duplicate_rows
    operator | words
"""

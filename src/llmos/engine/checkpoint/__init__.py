"""The files of one model: finding, describing and writing them."""

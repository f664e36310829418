"""Cards: the measured quality, size and speed of a version, and the limits set on them."""

"""The interfaces of the nouns that commands work on, which port.py puts together."""

"""Plans: how projects pay, in versions that apply from a date on, and which plan each project has."""

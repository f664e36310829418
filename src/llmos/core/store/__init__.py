"""Files by the digest of their content, and where they arrive. Knows no models and no datasets."""

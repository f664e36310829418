"""Self-contained HTML pages, such as cards of models and reports of datasets: no scripts, nothing from elsewhere."""

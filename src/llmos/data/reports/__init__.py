"""Reports of datasets: what a version has, how long its rows are, what its cleaning left out, and where it came from.

measuring → DatasetReportDescription (JSON) → page (HTML)
"""

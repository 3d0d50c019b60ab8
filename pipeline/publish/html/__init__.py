"""``report.html``: one file that shows everything about a run, offline."""

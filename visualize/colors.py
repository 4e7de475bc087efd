"""The colors of verdicts and labels, in pages and plots."""

REAL, FAKE, UNSURE = "#067647", "#c4320a", "#b54708"

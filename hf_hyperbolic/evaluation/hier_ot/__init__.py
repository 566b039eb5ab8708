"""The metric `hier_ot` for `evaluate`, laid out as a Space of the Hub: it imports nothing outside this folder."""

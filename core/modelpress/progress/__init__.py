"""How a run is followed while it goes, whoever shows it: the command line, a log, a notebook."""

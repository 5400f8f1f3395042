"""One module for each case; see trials.Case."""

"""The benchmarks, one a module: `measure` gives raw figures, `describe` says what they mean."""

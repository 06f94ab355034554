"""One training: a job in, a result out, wherever it runs."""

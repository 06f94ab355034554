"""Where trainings run: in this process, or each in one of its own."""

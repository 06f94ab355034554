"""Where trainings run: in this process, each in one of its own, or on a Ray cluster."""

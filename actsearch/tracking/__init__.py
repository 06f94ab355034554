"""MLflow as a mirror of the study."""

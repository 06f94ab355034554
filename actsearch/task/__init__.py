"""What a task is: users and ``tasks/`` build on it."""

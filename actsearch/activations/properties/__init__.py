"""What is proved or measured of an activation, and what a place may require."""

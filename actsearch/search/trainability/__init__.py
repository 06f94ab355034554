"""What can be trained through, and what cannot: told of a function, of a network, of its first losses."""

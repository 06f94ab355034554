"""One family of activations a file or folder; the registry finds them."""

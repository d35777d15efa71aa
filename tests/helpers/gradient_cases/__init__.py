"""The cases for gradient checks, a file for each family of ops."""

"""The cases that gradients are checked on, a file for each family of ops."""

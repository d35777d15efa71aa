"""Programs as text: listings, Python source, and explanations of the compiled code."""

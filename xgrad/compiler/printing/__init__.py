"""Programs as text: listings, Python source, and what the compiler made of them."""

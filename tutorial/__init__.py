"""The tutorial: its source, its notebooks, and what makes them."""

"""The documentation, what makes its site and its pictures, and what checks its translations."""

"""What people look at: runs and problems as text."""

"""What is asked: machines, tasks, recipes.  Plain Python, trusted."""

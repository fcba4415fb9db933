"""Networks: cells, weights, losses, updates, worst cases.  Read this first."""

"""Networks of other libraries: read, recognised, taken."""

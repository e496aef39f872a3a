"""Authentication, limits and other protections; one module for each."""

"""Entry points: the Python client, the HTTP service, the command line and the integrations."""

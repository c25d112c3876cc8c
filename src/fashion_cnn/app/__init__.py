"""Thin interfaces to the package: the command line, the health check and the web page."""

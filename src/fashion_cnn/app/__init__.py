"""Thin faces over the verbs: the command line, the health check and the web page."""

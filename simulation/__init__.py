"""Enterprises that trade over HTTP, through the client that everybody uses."""

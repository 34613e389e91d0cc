"""Thin handlers: get the service, call it, return."""

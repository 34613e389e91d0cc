"""Tests of `/api/v1/sync`."""

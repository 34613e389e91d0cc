"""Tests of the new app alone; nothing here needs the old daemon or the gateway."""

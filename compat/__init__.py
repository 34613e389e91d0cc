"""Carries calls of the old contract onto the new services, route by route."""

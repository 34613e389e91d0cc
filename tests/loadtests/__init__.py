"""The load tools themselves, against real servers."""

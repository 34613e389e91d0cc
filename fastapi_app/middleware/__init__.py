"""Plain ASGI middleware: look at `scope["type"]`, pass on everything that is not yours."""

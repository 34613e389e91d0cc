"""Every route over real HTTP and WebSockets."""

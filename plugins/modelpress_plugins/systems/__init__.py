"""What systems share. It is no plugin: it has no entry point."""

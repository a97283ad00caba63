"""What every room uses: the vocabulary, the settings, a request's context, and tools (timers, caches, files)."""

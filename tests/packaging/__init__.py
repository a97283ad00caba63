"""What is published: the archives, and what they do where nothing but the base is installed."""

"""What makes many workers one fleet: switches that all obey, and what each tells of itself."""

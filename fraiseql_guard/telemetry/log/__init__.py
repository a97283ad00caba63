"""Log lines: one JSON object each, made safe, bounded in number, and written in the background."""

"""Log lines: one JSON object each, made safe to print, bounded in number, and written by a thread in the background."""

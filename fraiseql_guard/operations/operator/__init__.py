"""What an operator can see and do, whatever the way in: Python, HTTP, command line or console."""

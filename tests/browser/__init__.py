"""The operator's console in a real browser, on a real server and a real Redis."""

"""What an operator can see and do, the same through Python, HTTP, command line and console.

``interface`` declares it, ``store_operator`` does it on a store, ``remote`` asks a running guard over HTTP. ``routes``
is the table that the HTTP API and ``remote`` are made from.
"""

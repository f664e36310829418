"""The routes of the server: one file per noun or wire format, each with a `router`. app.py finds them by itself."""

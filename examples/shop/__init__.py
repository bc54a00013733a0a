"""The background work of a small shop: `app.py` is the application, `demo/` puts it to work."""

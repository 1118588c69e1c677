"""The HTTP face: paths, status codes, the server and the status page. Nothing is decided here; the nouns below decide.

An :class:`~tidewheel.web.application.Application` holds what is served; ``handle`` answers one request from bytes to bytes;
connections speak HTTP for it, and an ASGI adapter mounts it elsewhere.
"""

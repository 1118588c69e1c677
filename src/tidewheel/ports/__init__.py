"""What Tidewheel needs from outside, one Protocol per file: rows, bytes, jobs; never a noun of the domain.

Backends implement these in ``backends/<technology>`` and are found by entry point, whose name is also the folder, the
extra, the pytest mark and the URL scheme. Every backend passes the port's contract suite in ``tidewheel.testing``.
"""

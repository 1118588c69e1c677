"""Tidewheel."""

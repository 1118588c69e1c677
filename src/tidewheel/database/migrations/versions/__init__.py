"""The schema's history: one file per noun, in a fixed chain; later changes are appended, never edited in."""

"""``python -m tidewheel``: the same as the ``tidewheel`` command."""

from tidewheel.cli import main

if __name__ == "__main__":
    main()

"""Compiles the kernels where there is a C compiler; without one, the same files are interpreted.

A kernel is a file of ``features/`` whose name ends in ``kernel.py``. ``tidewheel --version`` says which form there is: pip
shows nothing of a build that went on.
"""

from pathlib import Path

from setuptools import Extension, setup

try:
    from Cython.Build import cythonize
except ImportError:  # an environment without Cython gets the interpreted kernels
    extensions = []
else:
    extensions = cythonize(
        [
            Extension(f"tidewheel.features.{path.stem}", [str(path)], extra_compile_args=["-O2", "-g0", "-ffp-contract=off"])
            for path in sorted(Path("src/tidewheel/features").glob("*kernel.py"))
        ],
        build_dir="build",
    )
    for extension in extensions:  # cythonize makes new ones, and forgets this
        extension.optional = True

setup(ext_modules=extensions)

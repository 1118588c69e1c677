"""Compiles the kernel where there is a C compiler; without one, the same file is interpreted.

``tidewheel --version`` says which: pip shows nothing of a build that went on.
"""

from setuptools import Extension, setup

try:
    from Cython.Build import cythonize
except ImportError:  # an environment without Cython gets the interpreted kernel
    extensions = []
else:
    extensions = cythonize(
        [
            Extension(
                "tidewheel.features.kernel",
                ["src/tidewheel/features/kernel.py"],
                extra_compile_args=["-O2", "-g0", "-ffp-contract=off"],
            )
        ],
        build_dir="build",
    )
    for extension in extensions:  # cythonize makes new ones, and forgets this
        extension.optional = True

setup(ext_modules=extensions)

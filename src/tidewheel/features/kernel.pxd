# What other kernels share of kernel.py: types of its states, and its steps. Read by Cython only.

cimport cython


@cython.final
cdef class States:
    cdef long long[::1] ints
    cdef double[::1] floats


@cython.final
cdef class Values:
    cdef int fold
    cdef Py_ssize_t wi
    cdef Py_ssize_t wf
    cdef const long long[::1] ints
    cdef const double[::1] floats


@cython.final
cdef class Moments:
    cdef const long long[::1] offsets
    cdef const long long[::1] ts
    cdef const long long[::1] known


cdef void _clear(Values values, States to, Py_ssize_t number) noexcept
cdef void _add(Values values, Py_ssize_t row, States to, Py_ssize_t number) noexcept
cdef void _merge(Values values, States by, Py_ssize_t other, States to, Py_ssize_t number) noexcept
cdef void _merge_all(
    Values values, States by, Py_ssize_t other, Py_ssize_t until, States to, Py_ssize_t number
) noexcept
cdef void _fold_rows(Values values, Py_ssize_t row, Py_ssize_t until, States to, Py_ssize_t number) noexcept

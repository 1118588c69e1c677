# The upper half of a product, which C has no portable word for, and tables. Read by Cython only.

cdef extern from *:
    """
    static unsigned long long tidewheel_upper(unsigned long long a, unsigned long long b) {
    #ifdef __SIZEOF_INT128__
        return (unsigned long long)(((unsigned __int128)a * b) >> 64);
    #else
        unsigned long long low = (a & 0xffffffffu) * (b & 0xffffffffu);
        unsigned long long left = (a >> 32) * (b & 0xffffffffu);
        unsigned long long right = (a & 0xffffffffu) * (b >> 32);
        unsigned long long middle = (low >> 32) + (left & 0xffffffffu) + (right & 0xffffffffu);
        return (a >> 32) * (b >> 32) + (left >> 32) + (right >> 32) + (middle >> 32);
    #endif
    }
    """
    unsigned long long tidewheel_upper(unsigned long long a, unsigned long long b) noexcept nogil

cdef unsigned long long[1234] _powers
cdef unsigned long long[20] _tens
cdef unsigned char[200] _pairs

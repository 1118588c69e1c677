/* A point-in-time join and a window sweep as one would write them by hand for one data set: whole keys from 0 up, times as
   int64, everything in memory. Compiled at the start of the benchmark; called by ctypes. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Counting sort by key: rows of key k at order[offsets[k]..offsets[k+1]), in the order they came. */
void group(int64_t rows, int64_t keys, const int64_t *key, int64_t *offsets, int32_t *order) {
    memset(offsets, 0, (size_t)(keys + 1) * 8);
    for (int64_t i = 0; i < rows; i++) offsets[key[i] + 1]++;
    for (int64_t k = 0; k < keys; k++) offsets[k + 1] += offsets[k];
    int64_t *next = malloc((size_t)keys * 8);
    memcpy(next, offsets, (size_t)keys * 8);
    for (int64_t i = 0; i < rows; i++) order[next[key[i]]++] = (int32_t)i;
    free(next);
}

/* Within each key by time, then created: insertion, since rows come almost in order of time. */
void settle(int64_t keys, const int64_t *offsets, int32_t *order, const int64_t *ts, const int64_t *created) {
    for (int64_t k = 0; k < keys; k++)
        for (int64_t i = offsets[k] + 1; i < offsets[k + 1]; i++) {
            int32_t row = order[i];
            int64_t j = i;
            for (; j > offsets[k]; j--) {
                int32_t before = order[j - 1];
                if (ts[before] < ts[row] || (ts[before] == ts[row] && created[before] <= created[row])) break;
                order[j] = before;
            }
            order[j] = row;
        }
}

void gather(int64_t rows, const int32_t *order, const int64_t *from, int64_t *to) {
    for (int64_t i = 0; i < rows; i++) to[i] = from[order[i]];
}

/* Last row of the key with ts <= t, or -1. */
void search(int64_t asked, const int64_t *key, const int64_t *t, const int64_t *offsets, const int64_t *ts, const int32_t *order,
            int32_t *found) {
    for (int64_t q = 0; q < asked; q++) {
        int64_t lo = offsets[key[q]], hi = offsets[key[q] + 1], start = lo;
        while (lo < hi) {
            int64_t middle = (lo + hi) >> 1;
            if (ts[middle] <= t[q]) lo = middle + 1;
            else hi = middle;
        }
        found[q] = lo > start ? order[lo - 1] : -1;
    }
}

/* Two pointers over one key's sorted events and questions: [floor(t - w, hop), t). min and max by rescanning would be quadratic,
   so both keep a queue of candidates. Sums are added and subtracted, which is quick and loses bits. */
void sweep(int64_t keys, const int64_t *offsets, const int64_t *ts, const double *x, const int64_t *q_offsets, const int64_t *t,
           int64_t window, int64_t hop, double *count, double *sum, double *squares, double *least, double *most) {
    int64_t longest = 0;
    for (int64_t k = 0; k < keys; k++)
        if (offsets[k + 1] - offsets[k] > longest) longest = offsets[k + 1] - offsets[k];
    int64_t *low = malloc((size_t)(longest + 1) * 8), *high = malloc((size_t)(longest + 1) * 8);
    for (int64_t k = 0; k < keys; k++) {
        int64_t from = offsets[k], to = from, l0 = 0, l1 = 0, h0 = 0, h1 = 0;
        double s = 0, s2 = 0;
        for (int64_t q = q_offsets[k]; q < q_offsets[k + 1]; q++) {
            int64_t start = t[q] - window;
            start -= ((start % hop) + hop) % hop;
            for (; to < offsets[k + 1] && ts[to] < t[q]; to++) {
                s += x[to];
                s2 += x[to] * x[to];
                while (l1 > l0 && x[low[l1 - 1]] >= x[to]) l1--;
                low[l1++] = to;
                while (h1 > h0 && x[high[h1 - 1]] <= x[to]) h1--;
                high[h1++] = to;
            }
            for (; from < to && ts[from] < start; from++) {
                s -= x[from];
                s2 -= x[from] * x[from];
                if (l0 < l1 && low[l0] == from) l0++;
                if (h0 < h1 && high[h0] == from) h0++;
            }
            count[q] = (double)(to - from);
            sum[q] = s;
            squares[q] = s2;
            least[q] = l0 < l1 ? x[low[l0]] : 0;
            most[q] = h0 < h1 ? x[high[h0]] : 0;
        }
    }
    free(low);
    free(high);
}

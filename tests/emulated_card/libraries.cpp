// The parts of libcublas and libcurand that candle calls; products are made in float.

#include "headers/small_numbers.h"

namespace {

float number(const void *from, int type, size_t at) {
  switch (type) {
  case 0: return static_cast<const float *>(from)[at];
  case 2: return static_cast<const __half *>(from)[at];
  case 14: return static_cast<const __nv_bfloat16 *>(from)[at];
  default: abort();
  }
}

void store(void *to, int type, size_t at, float value) {
  switch (type) {
  case 0: static_cast<float *>(to)[at] = value; break;
  case 2: static_cast<__half *>(to)[at] = value; break;
  case 14: static_cast<__nv_bfloat16 *>(to)[at] = value; break;
  default: abort();
  }
}

} // namespace

extern "C" int cublasCreate_v2(void **handle) { return *handle = malloc(1), 0; }
extern "C" int cublasDestroy_v2(void *handle) { return free(handle), 0; }
extern "C" int cublasSetStream_v2(void *, void *) { return 0; }

// C = alpha · op(A) · op(B) + beta · C, numbers column by column.
extern "C" int cublasGemmStridedBatchedEx(void *, int transpose_a, int transpose_b, int m, int n,
                                          int k, const void *alpha, const void *a, int type_a,
                                          int lda, long long stride_a, const void *b, int type_b,
                                          int ldb, long long stride_b, const void *beta, void *c,
                                          int type_c, int ldc, long long stride_c, int count, int,
                                          int) {
  float by = *static_cast<const float *>(alpha), keep = *static_cast<const float *>(beta);
  if (lda < (transpose_a ? k : m) || ldb < (transpose_b ? n : k) || ldc < m) return 7;
  std::vector<float> left((size_t)m * k), right((size_t)k * n);
  for (int batch = 0; batch < count; ++batch) {
    for (int row = 0; row < m; ++row) {
      for (int at = 0; at < k; ++at) {
        size_t from = transpose_a ? at + (size_t)row * lda : row + (size_t)at * lda;
        left[(size_t)row * k + at] = number(a, type_a, batch * stride_a + from);
      }
    }
    for (int column = 0; column < n; ++column) {
      for (int at = 0; at < k; ++at) {
        size_t from = transpose_b ? column + (size_t)at * ldb : at + (size_t)column * ldb;
        right[(size_t)column * k + at] = number(b, type_b, batch * stride_b + from);
      }
    }
    for (int column = 0; column < n; ++column) {
      for (int row = 0; row < m; ++row) {
        const float *x = &left[(size_t)row * k], *y = &right[(size_t)column * k];
        float sums[8] = {};
        int at = 0;
        for (; at + 8 <= k; at += 8) {
          for (int lane = 0; lane < 8; ++lane) sums[lane] += x[at + lane] * y[at + lane];
        }
        for (; at < k; ++at) sums[0] += x[at] * y[at];
        float sum = 0;
        for (float part : sums) sum += part;
        size_t to = batch * stride_c + row + (size_t)column * ldc;
        float before = keep == 0 ? 0 : keep * number(c, type_c, to);
        store(c, type_c, to, by * sum + before);
      }
    }
  }
  return 0;
}

extern "C" int curandCreateGenerator(void **generator, int) { return *generator = malloc(1), 0; }
extern "C" int curandDestroyGenerator(void *generator) { return free(generator), 0; }
extern "C" int curandSetStream(void *, void *) { return 0; }
extern "C" int curandSetPseudoRandomGeneratorSeed(void *, unsigned long long) { return 0; }

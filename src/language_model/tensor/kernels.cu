// What candle would do in many passes over memory, one kernel each; compiled on the user's machine
// when a card is first used (NVRTC), so nothing of CUDA's headers is included. Every kernel reads
// and writes numbers of one type and computes in float. A block does a row. First comes what is
// written, then what is read, then sizes and factors. What each must compute says its twin in
// twins.rs, and every one is compared with it before it is used.

typedef unsigned long long size;

struct f16 { unsigned short bits; };
struct bf16 { unsigned short bits; };

#ifdef __CUDACC__
__device__ float of_half(unsigned short bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
__device__ unsigned short to_half(float value) {
  unsigned short bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}
#else // on an emulated card (tests/emulated_card)
float of_half(unsigned short bits) { return _cvtsh_ss(bits); }
unsigned short to_half(float value) { return _cvtss_sh(value, 0); }
#endif

__device__ float get(const float *from, size at) { return from[at]; }
__device__ float get(const f16 *from, size at) { return of_half(from[at].bits); }
__device__ float get(const bf16 *from, size at) {
  return __uint_as_float((unsigned)from[at].bits << 16);
}

__device__ void put(float *to, size at, float value) { to[at] = value; }
__device__ void put(f16 *to, size at, float value) { to[at].bits = to_half(value); }
__device__ void put(bf16 *to, size at, float value) {
  unsigned bits = __float_as_uint(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    to[at].bits = (unsigned short)((bits >> 16) | 0x40u); // NaN stays NaN
  } else {
    to[at].bits = (unsigned short)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
  }
}

// The sum, or the largest, over a block; every thread gets it. The order is always the same.
template <bool LARGEST> __device__ float over_block(float value) {
  __shared__ float parts[32];
  __shared__ float all;
  for (int step = 16; step > 0; step >>= 1) {
    float other = __shfl_xor_sync(0xffffffffu, value, step);
    value = LARGEST ? fmaxf(value, other) : value + other;
  }
  int warps = (blockDim.x + 31) / 32;
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
  __syncthreads();
  if (threadIdx.x == 0) {
    float found = parts[0];
    for (int warp = 1; warp < warps; ++warp) {
      found = LARGEST ? fmaxf(found, parts[warp]) : found + parts[warp];
    }
    all = found;
  }
  __syncthreads();
  // The next one writes `all` behind its first barrier, to which everybody comes with this in hand.
  return all;
}

__device__ unsigned mixed(unsigned counter, unsigned low, unsigned high) {
  unsigned x = (counter * 0x9E3779B9u) ^ low;
  x ^= x >> 16;
  x *= 0x7FEB352Du;
  x ^= x >> 15;
  x ^= high;
  x *= 0x846CA68Bu;
  return x ^ (x >> 16);
}

// Dropout by a hash: a number of a row stays if the hash of its column under the row's key does not
// fall below the threshold. Without keys all stay.
struct Mask {
  unsigned low, high, threshold;
  float keep;
  bool drops;

  __device__ Mask(const unsigned *keys, size row, float keep, unsigned threshold)
      : low(0), high(0), threshold(threshold), keep(keep), drops(keys != nullptr) {
    if (drops) {
      low = keys[2 * row];
      high = keys[2 * row + 1];
    }
  }

  __device__ float operator()(float value, int at) const {
    if (!drops) return value;
    return mixed((unsigned)at, low, high) >= threshold ? value * keep : 0.0f;
  }
};

// x [T, I], keys [T, 2]
template <typename N>
__device__ void drop_out(N *out, const N *x, const unsigned *keys, int width, float keep,
                         unsigned threshold) {
  size row = blockIdx.x;
  Mask mask(keys, row, keep, threshold);
  for (int at = threadIdx.x; at < width; at += blockDim.x) {
    put(out, row * width + at, mask(get(x, row * width + at), at));
  }
}

// x [T, I], a [R, I], keys [T, 2] or nothing; out [T, R]: scale · dropout(x) · aᵀ
template <typename N>
__device__ void lowered(N *out, const N *x, const N *a, const unsigned *keys, int width, int rank,
                        float scale, float keep, unsigned threshold) {
  const int TOGETHER = 8;
  size row = blockIdx.x;
  Mask mask(keys, row, keep, threshold);
  for (int begin = 0; begin < rank; begin += TOGETHER) {
    int count = rank - begin < TOGETHER ? rank - begin : TOGETHER;
    float sums[TOGETHER] = {};
    for (int at = threadIdx.x; at < width; at += blockDim.x) {
      float value = mask(get(x, row * width + at), at);
      for (int r = 0; r < TOGETHER; ++r) {
        if (r < count) sums[r] += value * get(a, (size)(begin + r) * width + at);
      }
    }
    for (int r = 0; r < TOGETHER; ++r) {
      if (r >= count) continue;
      float sum = over_block<false>(sums[r]);
      if (threadIdx.x == 0) put(out, row * rank + begin + r, scale * sum);
    }
  }
}

// y [T, O] += dropout(low [T, R] · matrix), the matrix [R, O] or the transpose of [O, R] by its
// strides; keys [T, 2] or nothing
template <typename N>
__device__ void add_low(N *y, const N *low, const N *matrix, const unsigned *keys, int width,
                        int rank, int rank_stride, int column_stride, float keep,
                        unsigned threshold) {
  size row = blockIdx.x;
  Mask mask(keys, row, keep, threshold);
  for (int at = threadIdx.x; at < width; at += blockDim.x) {
    float sum = 0.0f;
    for (int r = 0; r < rank; ++r) {
      size of = (size)r * rank_stride + (size)at * column_stride;
      sum += get(low, row * rank + r) * get(matrix, of);
    }
    put(y, row * width + at, get(y, row * width + at) + mask(sum, at));
  }
}

__device__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// gate, up [T, I]
template <typename N>
__device__ void swiglu(N *out, const N *gate, const N *up, int width) {
  size begin = (size)blockIdx.x * width;
  for (int at = threadIdx.x; at < width; at += blockDim.x) {
    float g = get(gate, begin + at);
    put(out, begin + at, g * sigmoid(g) * get(up, begin + at));
  }
}

// gate, up, gradient [T, I]; out [2, T, I]: for gate, for up
template <typename N>
__device__ void swiglu_backward(N *out, const N *gate, const N *up, const N *gradient, int width) {
  size begin = (size)blockIdx.x * width, second = (size)gridDim.x * width;
  for (int at = threadIdx.x; at < width; at += blockDim.x) {
    float g = get(gate, begin + at), d = get(gradient, begin + at);
    float open = sigmoid(g), silu = g * open;
    put(out, begin + at, d * get(up, begin + at) * (open + silu * (1.0f - open)));
    put(out, second + begin + at, d * silu);
  }
}

// x, gradient [T, H], weight [H]
template <typename N>
__device__ void norm_backward(N *out, const N *x, const N *gradient, const N *weight, int width,
                              float epsilon) {
  size begin = (size)blockIdx.x * width;
  float squares = 0.0f, along = 0.0f;
  for (int at = threadIdx.x; at < width; at += blockDim.x) {
    float value = get(x, begin + at);
    squares += value * value;
    along += value * get(gradient, begin + at) * get(weight, at);
  }
  squares = over_block<false>(squares);
  along = over_block<false>(along);
  float inverse = 1.0f / sqrtf(squares / width + epsilon);
  float share = along * inverse * inverse / width;
  for (int at = threadIdx.x; at < width; at += blockDim.x) {
    float through = get(gradient, begin + at) * get(weight, at);
    put(out, begin + at, inverse * (through - get(x, begin + at) * share));
  }
}

// x [T, N·D] in its place, cosine, sine [T, D/2] as numbers of float; pairs (i, i + D/2) of every head
template <typename N>
__device__ void rotate(N *x, const float *cosine, const float *sine, int width, int head,
                       float sign) {
  size begin = (size)blockIdx.x * width;
  int half = head / 2;
  for (int at = threadIdx.x; at < width / 2; at += blockDim.x) {
    int pair = at % half;
    size first = begin + (size)(at / half) * head + pair;
    float c = cosine[(size)blockIdx.x * half + pair];
    float s = sign * sine[(size)blockIdx.x * half + pair];
    float a = get(x, first), b = get(x, first + half);
    put(x, first, a * c - b * s);
    put(x, first + half, b * c + a * s);
  }
}

const unsigned NOWHERE = 0xffffffffu;

// Where a number of a row stands among [B, N, n, D], the row being (batch, at) of [B, n].
__device__ size by_head_at(size row, int column, int width, int head, int length) {
  size batch = row / length, at = row % length;
  size heads = width / head;
  return ((batch * heads + column / head) * length + at) * head + column % head;
}

// rows [T, N·D], places [B·n] among them or nowhere; out [B, N, n, D]
template <typename N>
__device__ void to_heads(N *out, const N *rows, const unsigned *places, int width, int head,
                         int length) {
  size row = blockIdx.x;
  unsigned place = places[row];
  for (int at = threadIdx.x; at < width; at += blockDim.x) {
    float value = place == NOWHERE ? 0.0f : get(rows, (size)place * width + at);
    put(out, by_head_at(row, at, width, head, length), value);
  }
}

// rows [T, N·D] += by_head [B, N, n, D] at their places, no place twice
template <typename N>
__device__ void from_heads(N *rows, const N *by_head, const unsigned *places, int width, int head,
                           int length) {
  size row = blockIdx.x;
  unsigned place = places[row];
  if (place == NOWHERE) return;
  for (int at = threadIdx.x; at < width; at += blockDim.x) {
    size to = (size)place * width + at;
    put(rows, to, get(rows, to) + get(by_head, by_head_at(row, at, width, head, length)));
  }
}

// The first rows [p, N·D] += the sum over B of by_head [B, N, n, D] at the same places
template <typename N>
__device__ void sum_heads(N *rows, const N *by_head, int width, int head, int length, int batch) {
  size row = blockIdx.x;
  for (int at = threadIdx.x; at < width; at += blockDim.x) {
    float sum = get(rows, row * width + at);
    for (int one = 0; one < batch; ++one) {
      size from = by_head_at((size)one * length + row, at, width, head, length);
      sum += get(by_head, from);
    }
    put(rows, row * width + at, sum);
  }
}

// scores [B, N, Q, K] in their place, seen [B, Q, 2]: the first column that is seen, and the first
// after it that is not
template <typename N>
__device__ void softmax(N *scores, const unsigned *seen, int width, int queries, int heads,
                        float scale) {
  size row = blockIdx.x, begin = row * width;
  size query = row % queries, batch = row / ((size)queries * heads);
  unsigned begins = seen[(batch * queries + query) * 2];
  unsigned ends = seen[(batch * queries + query) * 2 + 1];
  float largest = -3.402823466e38f;
  for (unsigned at = begins + threadIdx.x; at < ends; at += blockDim.x) {
    largest = fmaxf(largest, get(scores, begin + at) * scale);
  }
  largest = over_block<true>(largest);
  float sum = 0.0f;
  for (unsigned at = begins + threadIdx.x; at < ends; at += blockDim.x) {
    sum += expf(get(scores, begin + at) * scale - largest);
  }
  sum = over_block<false>(sum);
  for (unsigned at = threadIdx.x; at < width; at += blockDim.x) {
    bool is_seen = at >= begins && at < ends;
    float chance = is_seen ? expf(get(scores, begin + at) * scale - largest) / sum : 0.0f;
    put(scores, begin + at, chance);
  }
}

// gradient [.., K] in its place, of the chances before, of the scores after; chances [.., K]
template <typename N>
__device__ void softmax_backward(N *gradient, const N *chances, int width, float scale) {
  size begin = (size)blockIdx.x * width;
  float along = 0.0f;
  for (int at = threadIdx.x; at < width; at += blockDim.x) {
    along += get(chances, begin + at) * get(gradient, begin + at);
  }
  along = over_block<false>(along);
  for (int at = threadIdx.x; at < width; at += blockDim.x) {
    float chance = get(chances, begin + at);
    put(gradient, begin + at, scale * chance * (get(gradient, begin + at) - along));
  }
}

// logits [n, V]; out [n] as numbers of float: ln Σ e^logit
template <typename N> __device__ void log_sums(float *out, const N *logits, int width) {
  size begin = (size)blockIdx.x * width;
  float largest = -3.402823466e38f;
  for (int at = threadIdx.x; at < width; at += blockDim.x) {
    largest = fmaxf(largest, get(logits, begin + at));
  }
  largest = over_block<true>(largest);
  float sum = 0.0f;
  for (int at = threadIdx.x; at < width; at += blockDim.x) {
    sum += expf(get(logits, begin + at) - largest);
  }
  sum = over_block<false>(sum);
  if (threadIdx.x == 0) out[blockIdx.x] = largest + logf(sum);
}

// logits [n, V] in their place, become the gradient of Σ weight · cross-entropy times scale;
// tokens, weights [n, m], log_sums [n]
template <typename N>
__device__ void cross_entropy_backward(N *logits, const unsigned *tokens, const float *weights,
                                       const float *log_sums, int width, int targets,
                                       float scale) {
  size row = blockIdx.x, begin = row * width, first = row * targets;
  float total = 0.0f;
  for (int target = 0; target < targets; ++target) total += weights[first + target];
  for (int at = threadIdx.x; at < width; at += blockDim.x) {
    float value = total * expf(get(logits, begin + at) - log_sums[row]);
    for (int target = 0; target < targets; ++target) {
      if (tokens[first + target] == (unsigned)at) value -= weights[first + target];
    }
    put(logits, begin + at, scale * value);
  }
}

__device__ float half_at(const unsigned char *bytes) {
  return of_half((unsigned short)(bytes[0] | bytes[1] << 8));
}

// The number at a place of a block of llama.cpp's formats.
struct Q8_0 {
  static const int NUMBERS = 32, BYTES = 34;
  __device__ static float number(const unsigned char *block, int at) {
    return (float)(signed char)block[2 + at] * half_at(block);
  }
};

struct Q4_0 {
  static const int NUMBERS = 32, BYTES = 18;
  __device__ static float number(const unsigned char *block, int at) {
    unsigned nibble = (block[2 + at % 16] >> (at / 16 * 4)) & 15u;
    return ((float)nibble - 8.0f) * half_at(block);
  }
};

struct Q4_K {
  static const int NUMBERS = 256, BYTES = 144;
  __device__ static float number(const unsigned char *block, int at) {
    const unsigned char *packed = block + 4;
    int part = at / 32;
    unsigned scale, minimum;
    if (part < 4) {
      scale = packed[part] & 63u;
      minimum = packed[part + 4] & 63u;
    } else {
      scale = (packed[part + 4] & 15u) | (unsigned)(packed[part - 4] >> 6) << 4;
      minimum = (unsigned)(packed[part + 4] >> 4) | (unsigned)(packed[part] >> 6) << 4;
    }
    unsigned nibble = (block[16 + part / 2 * 32 + at % 32] >> (part % 2 * 4)) & 15u;
    float factor = half_at(block) * (float)scale, below = half_at(block + 2) * (float)minimum;
    return factor * (float)nibble - below;
  }
};

// blocks [O, I / NUMBERS · BYTES]; out [O, I]
template <typename KIND, typename N>
__device__ void dequantise(N *out, const unsigned char *blocks, int width) {
  size row = blockIdx.x;
  const unsigned char *of_row = blocks + row * (width / KIND::NUMBERS) * KIND::BYTES;
  for (int at = threadIdx.x; at < width; at += blockDim.x) {
    const unsigned char *block = of_row + at / KIND::NUMBERS * KIND::BYTES;
    put(out, row * width + at, KIND::number(block, at % KIND::NUMBERS));
  }
}

#define KERNEL(NAME, N, PARAMETERS, ARGUMENTS)                                                   \
  extern "C" __global__ void NAME##_##N PARAMETERS { NAME ARGUMENTS; }

#define DEQUANTISE(NAME, KIND, N)                                                                \
  extern "C" __global__ void dequantise_##NAME##_##N(N *out, const unsigned char *blocks,        \
                                                     int width) {                                \
    dequantise<KIND>(out, blocks, width);                                                        \
  }

#define EACH_TYPE(N)                                                                             \
  KERNEL(drop_out, N,                                                                            \
         (N *out, const N *x, const unsigned *keys, int width, float keep, unsigned threshold),  \
         (out, x, keys, width, keep, threshold))                                                 \
  KERNEL(lowered, N,                                                                             \
         (N *out, const N *x, const N *a, const unsigned *keys, int width, int rank,             \
          float scale, float keep, unsigned threshold),                                          \
         (out, x, a, keys, width, rank, scale, keep, threshold))                                 \
  KERNEL(add_low, N,                                                                             \
         (N *y, const N *low, const N *matrix, const unsigned *keys, int width, int rank,        \
          int rank_stride, int column_stride, float keep, unsigned threshold),                   \
         (y, low, matrix, keys, width, rank, rank_stride, column_stride, keep, threshold))       \
  KERNEL(swiglu, N, (N *out, const N *gate, const N *up, int width), (out, gate, up, width))     \
  KERNEL(swiglu_backward, N,                                                                     \
         (N *out, const N *gate, const N *up, const N *gradient, int width),                     \
         (out, gate, up, gradient, width))                                                       \
  KERNEL(norm_backward, N,                                                                       \
         (N *out, const N *x, const N *gradient, const N *weight, int width, float epsilon),     \
         (out, x, gradient, weight, width, epsilon))                                             \
  KERNEL(rotate, N,                                                                              \
         (N *x, const float *cosine, const float *sine, int width, int head, float sign),        \
         (x, cosine, sine, width, head, sign))                                                   \
  KERNEL(to_heads, N,                                                                            \
         (N *out, const N *rows, const unsigned *places, int width, int head, int length),       \
         (out, rows, places, width, head, length))                                               \
  KERNEL(from_heads, N,                                                                          \
         (N *rows, const N *by_head, const unsigned *places, int width, int head, int length),   \
         (rows, by_head, places, width, head, length))                                           \
  KERNEL(sum_heads, N,                                                                           \
         (N *rows, const N *by_head, int width, int head, int length, int batch),                \
         (rows, by_head, width, head, length, batch))                                            \
  KERNEL(softmax, N,                                                                             \
         (N *scores, const unsigned *seen, int width, int queries, int heads, float scale),      \
         (scores, seen, width, queries, heads, scale))                                           \
  KERNEL(softmax_backward, N, (N *gradient, const N *chances, int width, float scale),           \
         (gradient, chances, width, scale))                                                      \
  KERNEL(log_sums, N, (float *out, const N *logits, int width), (out, logits, width))            \
  KERNEL(cross_entropy_backward, N,                                                              \
         (N *logits, const unsigned *tokens, const float *weights, const float *log_sums,        \
          int width, int targets, float scale),                                                  \
         (logits, tokens, weights, log_sums, width, targets, scale))                             \
  DEQUANTISE(q8_0, Q8_0, N)                                                                      \
  DEQUANTISE(q4_0, Q4_0, N)                                                                      \
  DEQUANTISE(q4_k, Q4_K, N)

typedef float f32;
EACH_TYPE(f32)
EACH_TYPE(f16)
EACH_TYPE(bf16)

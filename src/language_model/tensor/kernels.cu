// What candle would do in many passes over memory, one kernel each; compiled on the user's machine
// when a card is first used (NVRTC), so nothing of CUDA's headers is included. Every kernel reads
// and writes numbers of one type and computes in float. A block does a row. What each must compute
// says its twin in operations.rs, and every one is compared with it before it is used.

typedef unsigned long long size;

struct f16 { unsigned short bits; };
struct bf16 { unsigned short bits; };

__device__ float get(const float *from, size at) { return from[at]; }
__device__ float get(const f16 *from, size at) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(from[at].bits));
  return value;
}
__device__ float get(const bf16 *from, size at) {
  return __uint_as_float((unsigned)from[at].bits << 16);
}

__device__ void put(float *to, size at, float value) { to[at] = value; }
__device__ void put(f16 *to, size at, float value) {
  unsigned short bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  to[at].bits = bits;
}
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
  float found = all;
  __syncthreads();
  return found;
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

// x [T, I], keys [T, 2]
template <typename N>
__device__ void drop_out(const N *x, const unsigned *keys, N *out, int width, float keep,
                         unsigned threshold) {
  size row = blockIdx.x;
  unsigned low = keys[2 * row], high = keys[2 * row + 1];
  for (int at = threadIdx.x; at < width; at += blockDim.x) {
    bool stays = mixed((unsigned)at, low, high) >= threshold;
    put(out, row * width + at, stays ? get(x, row * width + at) * keep : 0.0f);
  }
}

__device__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// gate, up [T, I]
template <typename N>
__device__ void swiglu(const N *gate, const N *up, N *out, int width) {
  size begin = (size)blockIdx.x * width;
  for (int at = threadIdx.x; at < width; at += blockDim.x) {
    float g = get(gate, begin + at);
    put(out, begin + at, g * sigmoid(g) * get(up, begin + at));
  }
}

// gate, up, gradient [T, I]; out [2, T, I]: for gate, for up
template <typename N>
__device__ void swiglu_backward(const N *gate, const N *up, const N *gradient, N *out, int width) {
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
__device__ void norm_backward(const N *x, const N *gradient, const N *weight, N *out, int width,
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

// x [T, N·D], cosine, sine [T, D/2] as numbers of float; pairs (i, i + D/2) of every head
template <typename N>
__device__ void rotate(const N *x, const float *cosine, const float *sine, N *out, int width,
                       int head, float sign) {
  size begin = (size)blockIdx.x * width;
  int half = head / 2;
  for (int at = threadIdx.x; at < width / 2; at += blockDim.x) {
    int pair = at % half;
    size first = begin + (size)(at / half) * head + pair;
    float c = cosine[(size)blockIdx.x * half + pair];
    float s = sign * sine[(size)blockIdx.x * half + pair];
    float a = get(x, first), b = get(x, first + half);
    put(out, first, a * c - b * s);
    put(out, first + half, b * c + a * s);
  }
}

// scores [B, N, Q, K], seen [B, Q, 2]: the first column that is seen, and the first after it that is not
template <typename N>
__device__ void softmax(const N *scores, const unsigned *seen, N *out, int width, int queries,
                        int heads, float scale) {
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
    put(out, begin + at, is_seen ? expf(get(scores, begin + at) * scale - largest) / sum : 0.0f);
  }
}

// probabilities, gradient [.., K]
template <typename N>
__device__ void softmax_backward(const N *probabilities, const N *gradient, N *out, int width,
                                 float scale) {
  size begin = (size)blockIdx.x * width;
  float along = 0.0f;
  for (int at = threadIdx.x; at < width; at += blockDim.x) {
    along += get(probabilities, begin + at) * get(gradient, begin + at);
  }
  along = over_block<false>(along);
  for (int at = threadIdx.x; at < width; at += blockDim.x) {
    float chance = get(probabilities, begin + at);
    put(out, begin + at, scale * chance * (get(gradient, begin + at) - along));
  }
}

#define EACH_TYPE(N)                                                                             \
  extern "C" __global__ void drop_out_##N(const N *x, const unsigned *keys, N *out, int width,   \
                                          float keep, unsigned threshold) {                      \
    drop_out(x, keys, out, width, keep, threshold);                                              \
  }                                                                                              \
  extern "C" __global__ void swiglu_##N(const N *gate, const N *up, N *out, int width) {         \
    swiglu(gate, up, out, width);                                                                \
  }                                                                                              \
  extern "C" __global__ void swiglu_backward_##N(const N *gate, const N *up, const N *gradient,  \
                                                 N *out, int width) {                            \
    swiglu_backward(gate, up, gradient, out, width);                                             \
  }                                                                                              \
  extern "C" __global__ void norm_backward_##N(const N *x, const N *gradient, const N *weight,   \
                                               N *out, int width, float epsilon) {               \
    norm_backward(x, gradient, weight, out, width, epsilon);                                     \
  }                                                                                              \
  extern "C" __global__ void rotate_##N(const N *x, const float *cosine, const float *sine,      \
                                        N *out, int width, int head, float sign) {               \
    rotate(x, cosine, sine, out, width, head, sign);                                             \
  }                                                                                              \
  extern "C" __global__ void softmax_##N(const N *scores, const unsigned *seen, N *out,          \
                                         int width, int queries, int heads, float scale) {       \
    softmax(scores, seen, out, width, queries, heads, scale);                                    \
  }                                                                                              \
  extern "C" __global__ void softmax_backward_##N(const N *probabilities, const N *gradient,     \
                                                  N *out, int width, float scale) {              \
    softmax_backward(probabilities, gradient, out, width, scale);                                \
  }

typedef float f32;
EACH_TYPE(f32)
EACH_TYPE(f16)
EACH_TYPE(bf16)

// CUDA's words for a processor: a kernel's source, compiled as C++ with this header, runs block by
// block, and the threads of a block take turns, each on a stack of its own. A thread gives up its
// turn where it waits for others (barriers and exchanges between the lanes of a warp), so what is
// wrong with these shows: a barrier that not all reach ends the program, and with
// EMULATED_CARD_ORDER=reverse the last thread goes first, which gives other numbers where a barrier
// is missing. x86-64 and a System V calling convention are assumed.

#pragma once

#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <algorithm>
#include <immintrin.h>
#include <limits>
#include <map>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

struct dim3 {
  unsigned x, y, z;
};

namespace emulated {

// What the running thread sees; set before its turn.
extern dim3 thread_index, block_index, block_size, grid_size;
extern unsigned thread_number;

// Waits for all threads of the block that have not ended.
void barrier();

// Gives `bits` to the other lanes of the warp and takes those of lane `from`.
uint64_t exchange(uint64_t bits, unsigned from);

// Calls a kernel as the driver does: by addresses of its arguments.
typedef void (*Call)(void **arguments);

template <auto KERNEL, typename... A, size_t... AT>
void unpack(void (*)(A...), void **arguments, std::index_sequence<AT...>) {
  KERNEL(*static_cast<std::remove_const_t<A> *>(arguments[AT])...);
}

template <auto KERNEL> void call(void **arguments) {
  auto kernel = KERNEL;
  [&]<typename... A>(void (*)(A...)) {
    unpack<KERNEL>(kernel, arguments, std::index_sequence_for<A...>{});
  }(kernel);
}

// Kernels by module and name.
std::map<std::string, std::map<std::string, Call>> &kernels();

struct Register {
  Register(const char *module, const char *name, Call call) { kernels()[module][name] = call; }
};

// Runs a kernel over a grid.
void run(Call kernel, dim3 grid, dim3 block, void **arguments);

template <typename T> uint64_t to_bits(T value) {
  static_assert(sizeof(T) <= 8);
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof(T));
  return bits;
}

template <typename T> T from_bits(uint64_t bits) {
  T value;
  memcpy(&value, &bits, sizeof(T));
  return value;
}

inline unsigned lane() { return thread_number % 32; }

} // namespace emulated

#define threadIdx emulated::thread_index
#define blockIdx emulated::block_index
#define blockDim emulated::block_size
#define gridDim emulated::grid_size
#define warpSize 32

// The build asks for another word, to find kernels by it.
#ifndef __global__
#define __global__
#endif
#define __device__
#define __host__
#define __forceinline__ inline
// Blocks run one after the other.
#define __shared__ static
#define __launch_bounds__(...)
#define __restrict__

#define __syncthreads() emulated::barrier()

template <typename T> T __shfl_xor_sync(unsigned, T value, int mask, int = 32) {
  return emulated::from_bits<T>(
      emulated::exchange(emulated::to_bits(value), emulated::lane() ^ (unsigned)mask));
}

struct float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }

inline float __uint_as_float(unsigned bits) { return emulated::from_bits<float>(bits); }
inline unsigned __float_as_uint(float value) { return (unsigned)emulated::to_bits(value); }
inline float __int_as_float(int bits) { return emulated::from_bits<float>((unsigned)bits); }
inline int __float_as_int(float value) { return (int)emulated::to_bits(value); }
inline double __longlong_as_double(long long bits) {
  return emulated::from_bits<double>((uint64_t)bits);
}
inline long long __double_as_longlong(double value) { return (long long)emulated::to_bits(value); }

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float normcdff(float x) { return 0.5f * erfcf(-x * (float)M_SQRT1_2); }
inline double normcdf(double x) { return 0.5 * erfc(-x * M_SQRT1_2); }

using std::isnan;
using std::max;
using std::min;
using std::signbit;

// One thread runs at a time: what it does is whole.
template <typename T, typename U> T atomicAdd(T *at, U value) {
  T before = *at;
  *at = before + static_cast<T>(value);
  return before;
}
template <typename T, typename U> T atomicMax(T *at, U value) {
  T before = *at;
  *at = std::max<T>(before, value);
  return before;
}
template <typename T, typename U> T atomicMin(T *at, U value) {
  T before = *at;
  *at = std::min<T>(before, value);
  return before;
}
template <typename T, typename U> T atomicCAS(T *at, U expected, T value) {
  T before = *at;
  if (before == static_cast<T>(expected)) *at = value;
  return before;
}

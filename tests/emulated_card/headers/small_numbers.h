// Half precision and bfloat16 as CUDA's headers name them, computed in float and rounded when stored.

#pragma once

#include "threads.h"

struct __half {
  uint16_t bits;
  __half() = default;
  template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T>>>
  __half(T from) : bits(_cvtss_sh((float)from, 0)) {}
  operator float() const { return _cvtsh_ss(bits); }
};

struct __nv_bfloat16 {
  uint16_t bits;
  __nv_bfloat16() = default;
  template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T>>>
  __nv_bfloat16(T from) {
    unsigned whole = __float_as_uint((float)from);
    if ((whole & 0x7fffffffu) > 0x7f800000u) {
      bits = (uint16_t)((whole >> 16) | 0x40u);
    } else {
      bits = (uint16_t)((whole + 0x7fffu + ((whole >> 16) & 1u)) >> 16);
    }
  }
  operator float() const { return __uint_as_float((unsigned)bits << 16); }
};

// Eight bits are in candle's sources, not in what is run here.
struct __nv_fp8_e4m3 {
  uint8_t __x;
  __nv_fp8_e4m3() = default;
  template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T>>>
  __nv_fp8_e4m3(T) : __x(0) {
    abort();
  }
  operator float() const { abort(); }
};
#define __NV_E4M3 0
inline __half __nv_cvt_fp8_to_halfraw(uint8_t, int) { abort(); }

#define COMPOUND(N)                                                                              \
  inline N &operator+=(N &to, float more) { return to = N((float)to + more); }                   \
  inline N &operator-=(N &to, float less) { return to = N((float)to - less); }                   \
  inline N &operator*=(N &to, float factor) { return to = N((float)to * factor); }               \
  inline N &operator/=(N &to, float factor) { return to = N((float)to / factor); }               \
  inline bool __hisnan(N value) { return std::isnan((float)value); }                             \
  inline N hsqrt(N value) { return sqrtf(value); }                                               \
  inline N hcos(N value) { return cosf(value); }                                                 \
  inline N hsin(N value) { return sinf(value); }                                                 \
  inline N hlog(N value) { return logf(value); }                                                 \
  inline N hexp(N value) { return expf(value); }                                                 \
  inline N __habs(N value) { return fabsf(value); }                                              \
  inline N __hmax_nan(N a, N b) { return __hisnan(a) || (float)a > (float)b ? a : b; }            \
  inline N __hmin_nan(N a, N b) { return __hisnan(a) || (float)a < (float)b ? a : b; }
COMPOUND(__half)
COMPOUND(__nv_bfloat16)
#undef COMPOUND

inline __half __float2half(float value) { return value; }
inline float __half2float(__half value) { return value; }
inline unsigned short __half_as_ushort(__half value) {
  return (unsigned short)emulated::to_bits(value);
}
inline __half __ushort_as_half(unsigned short bits) { return emulated::from_bits<__half>(bits); }
inline __nv_bfloat16 __float2bfloat16(float value) { return value; }
inline __nv_bfloat16 __float2bfloat16_rn(float value) { return value; }
inline float __bfloat162float(__nv_bfloat16 value) { return value; }

struct __nv_bfloat162 {
  __nv_bfloat16 x, y;
};
inline __nv_bfloat162 __hadd2(__nv_bfloat162 a, __nv_bfloat162 b) {
  return {(float)a.x + (float)b.x, (float)a.y + (float)b.y};
}
inline __nv_bfloat162 __hmul2(__nv_bfloat162 a, __nv_bfloat162 b) {
  return {(float)a.x * (float)b.x, (float)a.y * (float)b.y};
}

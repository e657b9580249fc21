#!/usr/bin/env bash
# Builds the emulated card: libcuda, libcublas and libcurand in a folder that LD_LIBRARY_PATH may
# name, from candle's kernels as cargo fetched them and from ours.
#
#   tests/emulated_card/build.sh FOLDER
#
# Needs g++ 12 or newer on x86-64, and `cargo fetch` done.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:?a folder for the libraries}
mkdir -p "$folder/sources"
folder=$(cd "$folder" && pwd)
root=$here/../..
manifest=$(cargo metadata --format-version 1 --locked --features cuda --manifest-path "$root/Cargo.toml" |
  python3 -c 'import json, sys; print([p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == "candle-kernels"][0])')
candle=$(dirname "$manifest")/src
flags=(-std=c++20 -O2 -fno-strict-aliasing -mf16c -fPIC -w -I "$here" -I "$here/headers" -I "$candle"
  -D__CUDA_ARCH__=800 -D__CUDACC_VER_MAJOR__=13 -D__CUDACC_VER_MINOR__=0)

module() {
  local name=$1 source=$2 out=$folder/sources/$1.cpp
  # Two modules may have kernels of one name.
  sed 's/extern "C"//' "$source" > "$folder/sources/$name.cu"
  {
    echo '#include "small_numbers.h"'
    echo '#include <cuda/std/limits>'
    echo "namespace module_$name {"
    echo "#include \"$folder/sources/$name.cu\""
    echo '}'
  } > "$out"
  local kernels
  kernels=$(g++ "${flags[@]}" -D'__global__=EMULATED_KERNEL' -E -P "$out" |
    tr '\n' ' ' | grep -oE 'EMULATED_KERNEL +void +[A-Za-z0-9_]+ *\(' | sed -E 's/.*void +([A-Za-z0-9_]+).*/\1/')
  for kernel in $kernels; do
    echo "static emulated::Register register_$kernel(\"$name\", \"$kernel\", emulated::call<&module_$name::$kernel>);"
  done >> "$out"
  g++ "${flags[@]}" -c "$out" -o "$folder/sources/$name.o"
}

for name in affine binary cast fill indexing reduce ternary unary; do
  module "$name" "$candle/$name.cu"
done
module runner "$root/src/language_model/tensor/kernels.cu"
g++ "${flags[@]}" -shared -o "$folder/libcuda.so.1" "$here/driver.cpp" "$here/threads.cpp" "$folder"/sources/*.o
g++ "${flags[@]}" -O3 -shared -o "$folder/libcublas.so.13" "$here/libraries.cpp"
for name in libcublas.so libcurand.so; do ln -sf libcublas.so.13 "$folder/$name"; done
ln -sf libcuda.so.1 "$folder/libcuda.so"
echo "$folder"

// Runs kernels by request, without anything of CUDA: the test of kernels.cu against its twins
// (src/language_model/tensor/proof.rs) writes requests to standard input and reads what they made
// from standard output. All numbers are little-endian.
//
//   request:  u32 length, name, u32 blocks, u32 threads, u32 count, arguments
//   argument: u8 0, u64 length, bytes (a buffer) | u8 1, four bytes (a scalar) | u8 2 (no address)
//   answer:   the bytes of the first buffer

#include "threads.h"

namespace {

void take(void *to, size_t count) {
  if (fread(to, 1, count, stdin) != count) exit(1);
}

template <typename T> T number() {
  T value;
  take(&value, sizeof(T));
  return value;
}

const size_t FENCE = 256;
const char MARK = 0x5a;

// Bytes with a fence on each side: a kernel that writes beyond is found out.
struct Buffer {
  std::vector<char> bytes;
  size_t size;

  explicit Buffer(size_t size) : bytes(size + 2 * FENCE, MARK), size(size) {}
  char *begin() { return bytes.data() + FENCE; }
  bool holds() const {
    auto marked = [](char one) { return one == MARK; };
    return std::all_of(bytes.begin(), bytes.begin() + FENCE, marked) &&
           std::all_of(bytes.end() - FENCE, bytes.end(), marked);
  }
};

} // namespace

int main() {
  uint32_t length;
  while (fread(&length, 1, sizeof(length), stdin) == sizeof(length)) {
    std::string name(length, ' ');
    take(name.data(), length);
    unsigned blocks = number<uint32_t>(), threads = number<uint32_t>();
    unsigned count = number<uint32_t>();
    std::vector<Buffer> buffers;
    buffers.reserve(count);
    std::vector<uint64_t> values(count, 0);
    std::vector<void *> arguments;
    for (unsigned at = 0; at < count; ++at) {
      uint8_t kind = number<uint8_t>();
      if (kind == 0) {
        Buffer &buffer = buffers.emplace_back(number<uint64_t>());
        take(buffer.begin(), buffer.size);
        values[at] = reinterpret_cast<uint64_t>(buffer.begin());
      } else if (kind == 1) {
        values[at] = number<uint32_t>();
      }
      arguments.push_back(&values[at]);
    }
    auto &known = emulated::kernels()["runner"];
    auto found = known.find(name);
    if (found == known.end() || buffers.empty()) {
      fprintf(stderr, "there is no kernel `%s`\n", name.c_str());
      return 1;
    }
    emulated::run(found->second, {blocks, 1, 1}, {threads, 1, 1}, arguments.data());
    for (const Buffer &buffer : buffers) {
      if (!buffer.holds()) {
        fprintf(stderr, "`%s` writes beyond a buffer\n", name.c_str());
        return 1;
      }
    }
    fwrite(buffers[0].begin(), 1, buffers[0].size, stdout);
    fflush(stdout);
  }
  return 0;
}

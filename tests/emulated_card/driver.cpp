// The part of libcuda that candle and runner call, for cards that are not there. Whatever is asked
// for is done at once. It says no to what a driver would say no to: memory that the card has not, a
// kernel that the loaded module has not, a copy beyond a buffer, a thread without a context.
//
//   EMULATED_CARDS         how many (1)
//   EMULATED_CARD_BYTES    memory of each (24 GiB)
//   EMULATED_CARD_REPORT   a file that gets a line of JSON when the program ends

#include <csignal>
#include <execinfo.h>
#include <mutex>
#include <set>
#include <sys/mman.h>
#include <unistd.h>

#include "threads.h"

namespace {

enum Result {
  SUCCESS = 0,
  INVALID_VALUE = 1,
  OUT_OF_MEMORY = 2,
  INVALID_DEVICE = 101,
  INVALID_CONTEXT = 201,
  INVALID_IMAGE = 200,
  NOT_FOUND = 500,
};

typedef uint64_t Address;

size_t setting(const char *name, size_t otherwise) {
  const char *value = getenv(name);
  return value ? strtoull(value, nullptr, 10) : otherwise;
}

struct Card {
  size_t total = setting("EMULATED_CARD_BYTES", size_t(24) << 30);
  // Given to the program; kept by the pool, which gives back what is above its threshold when
  // somebody waits.
  size_t used = 0, kept = 0, threshold = 0, peak = 0;
};

struct Buffer {
  size_t size, mapped;
  char *base;
  int card;
};

struct Module {
  std::string name;
  std::set<std::string> entries;
};

// A queue of work knows its card; the queues that every context has do not.
struct Stream {
  int card;
};

struct Function {
  emulated::Call call;
  std::string name;
};

std::mutex one_at_a_time;
std::map<Address, Buffer> buffers;
std::map<std::string, size_t> launches;
size_t uploads, uploaded, downloads, downloaded, waits, allocations;
thread_local int current = 0; // a card's number from 1 on

std::vector<Card> &cards() {
  static std::vector<Card> all(setting("EMULATED_CARDS", 1));
  return all;
}

void report() {
  const char *path = getenv("EMULATED_CARD_REPORT");
  FILE *file = path ? fopen(path, "a") : nullptr;
  if (!file) return;
  size_t count = 0;
  for (auto &[name, times] : launches) count += times;
  fprintf(file, "{\"launches\": %zu, \"uploads\": %zu, \"uploaded_bytes\": %zu, ", count, uploads,
          uploaded);
  fprintf(file, "\"downloads\": %zu, \"downloaded_bytes\": %zu, \"waits\": %zu, ", downloads,
          downloaded, waits);
  fprintf(file, "\"allocations\": %zu, \"peak_bytes\": [", allocations);
  for (size_t at = 0; at < cards().size(); ++at) {
    fprintf(file, "%s%zu", at ? ", " : "", cards()[at].peak);
  }
  fprintf(file, "], \"kernels\": {");
  bool first = true;
  for (auto &[name, times] : launches) {
    fprintf(file, "%s\"%s\": %zu", first ? "" : ", ", name.c_str(), times);
    first = false;
  }
  fprintf(file, "}}\n");
  fclose(file);
}

const char *running = "no kernel";

// A thread that touches what is no buffer of its kernel ends the program: says whose it is.
void bad_access(int) {
  dprintf(2, "emulated card: `%s` touches memory beyond its buffers, block %u, thread %u\n", running,
          blockIdx.x, threadIdx.x);
  void *frames[32];
  backtrace_symbols_fd(frames, backtrace(frames, 32), 2);
  _exit(139);
}

void wait_for(int card) {
  waits += 1;
  Card &one = cards()[card];
  one.kept = std::max(one.used, std::min(one.kept, one.threshold));
}

// Whether `size` bytes from here on lie in one buffer.
bool within(Address from, size_t size) {
  auto next = buffers.upper_bound(from);
  if (next == buffers.begin()) return false;
  auto &[begin, buffer] = *std::prev(next);
  bool fits = from + size <= begin + buffer.size;
  if (!fits) fprintf(stderr, "emulated card: %zu bytes go beyond a buffer\n", size);
  return fits;
}

} // namespace

// The number from 1 on of the card that is meant, by a queue of one's own or the thread's context.
int card_of(void *stream) {
  bool own = reinterpret_cast<uintptr_t>(stream) > 2;
  return own ? static_cast<Stream *>(stream)->card : current;
}

#define API extern "C" int
#define NEEDS_CONTEXT                                                                            \
  std::lock_guard<std::mutex> guard(one_at_a_time);                                              \
  if (!current) return INVALID_CONTEXT;

API cuInit(unsigned) {
  // The cards first: what is made first is there until the report is written.
  static bool first = (cards(), atexit(report), true);
  (void)first;
  // Stacks of threads are small: what overflows one must be heard on another.
  static char stack[1 << 16];
  stack_t other = {stack, 0, sizeof(stack)};
  sigaltstack(&other, nullptr);
  struct sigaction act = {};
  act.sa_handler = bad_access;
  act.sa_flags = SA_ONSTACK;
  sigaction(SIGSEGV, &act, nullptr);
  return cards().empty() ? 100 : SUCCESS;
}
// NVRTC looks for what this driver has not.
API cuGetExportTable(const void **, const void *) { return NOT_FOUND; }
API cuDriverGetVersion(int *version) { return *version = 13000, SUCCESS; }
API cuDeviceGetCount(int *count) { return *count = cards().size(), SUCCESS; }
API cuDeviceGet(int *device, int ordinal) {
  if (ordinal < 0 || ordinal >= (int)cards().size()) return INVALID_DEVICE;
  return *device = ordinal, SUCCESS;
}
API cuDeviceGetName(char *name, int length, int) {
  return snprintf(name, length, "Emulated card"), SUCCESS;
}
API cuDeviceTotalMem_v2(size_t *bytes, int device) { return *bytes = cards()[device].total, SUCCESS; }
API cuDeviceGetAttribute(int *value, int attribute, int) {
  switch (attribute) {
  case 75: *value = 8; break;   // compute capability, major
  case 76: *value = 0; break;   // minor
  case 115: *value = 1; break;  // pools of memory
  case 1: *value = 1024; break; // threads a block
  case 16: *value = 8; break;   // multiprocessors
  case 10: *value = 32; break;  // lanes of a warp
  default: *value = 0;
  }
  return SUCCESS;
}
API cuDevicePrimaryCtxRetain(void **context, int device) {
  return *context = reinterpret_cast<void *>(uintptr_t(device + 1)), SUCCESS;
}
API cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
API cuCtxGetCurrent(void **context) {
  return *context = reinterpret_cast<void *>(uintptr_t(current)), SUCCESS;
}
API cuCtxSetCurrent(void *context) {
  return current = (int)reinterpret_cast<uintptr_t>(context), SUCCESS;
}
API cuCtxSynchronize() {
  NEEDS_CONTEXT
  return wait_for(current - 1), SUCCESS;
}
API cuStreamCreate(void **stream, unsigned) {
  NEEDS_CONTEXT
  return *stream = new Stream{current}, SUCCESS;
}
API cuStreamDestroy_v2(void *stream) { return delete static_cast<Stream *>(stream), SUCCESS; }
API cuStreamSynchronize(void *) {
  NEEDS_CONTEXT
  return wait_for(current - 1), SUCCESS;
}
API cuStreamWaitEvent(void *, void *, unsigned) { return SUCCESS; }
API cuStreamIsCapturing(void *, int *status) { return *status = 0, SUCCESS; }
API cuEventCreate(void **event, unsigned) { return *event = malloc(1), SUCCESS; }
API cuEventDestroy_v2(void *event) { return free(event), SUCCESS; }
API cuEventRecord(void *, void *) { return SUCCESS; }
API cuEventSynchronize(void *) { return SUCCESS; }
API cuEventQuery(void *) { return SUCCESS; }

API cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
  NEEDS_CONTEXT
  Card &card = cards()[current - 1];
  *total = card.total;
  *free_bytes = card.total - card.kept;
  return SUCCESS;
}
API cuDeviceGetDefaultMemPool(void **pool, int device) {
  return *pool = reinterpret_cast<void *>(uintptr_t(device + 1)), SUCCESS;
}
API cuMemPoolSetAttribute(void *pool, int attribute, void *value) {
  Card &card = cards()[reinterpret_cast<uintptr_t>(pool) - 1];
  uint64_t number = *static_cast<uint64_t *>(value);
  if (attribute == 4) {
    card.threshold = number;
  } else if (attribute == 8 && number == 0) {
    card.peak = card.used;
  } else {
    return INVALID_VALUE;
  }
  return SUCCESS;
}
API cuMemPoolGetAttribute(void *pool, int attribute, void *value) {
  if (attribute != 8) return INVALID_VALUE;
  return *static_cast<uint64_t *>(value) = cards()[reinterpret_cast<uintptr_t>(pool) - 1].peak, SUCCESS;
}
API cuMemAllocAsync(Address *address, size_t size, void *stream) {
  std::lock_guard<std::mutex> guard(one_at_a_time);
  int number = card_of(stream);
  if (!number) return INVALID_CONTEXT;
  if (size == 0) return INVALID_VALUE;
  Card &card = cards()[number - 1];
  size_t taken = (size + 511) / 512 * 512;
  if (card.used + taken > card.total) return OUT_OF_MEMORY;
  // The end of the buffer, but for what alignment asks, lies before a page that may not be touched.
  size_t page = sysconf(_SC_PAGESIZE), aligned = (size + 255) / 256 * 256;
  size_t mapped = (aligned + page - 1) / page * page + page;
  void *base = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return OUT_OF_MEMORY;
  char *bytes = static_cast<char *>(base);
  mprotect(bytes + mapped - page, page, PROT_NONE);
  char *begin = bytes + mapped - page - aligned;
  // What is read before it is written is no number.
  memset(begin, 0xff, aligned);
  *address = reinterpret_cast<Address>(begin);
  buffers[*address] = {size, mapped, bytes, number - 1};
  card.used += taken;
  card.kept = std::max(card.kept, card.used);
  card.peak = std::max(card.peak, card.used);
  allocations += 1;
  return SUCCESS;
}
API cuMemAlloc_v2(Address *address, size_t size) { return cuMemAllocAsync(address, size, nullptr); }
API cuMemFreeAsync(Address address, void *stream) {
  std::lock_guard<std::mutex> guard(one_at_a_time);
  if (!card_of(stream)) return INVALID_CONTEXT;
  auto found = buffers.find(address);
  if (found == buffers.end()) return INVALID_VALUE;
  Buffer buffer = found->second;
  cards()[buffer.card].used -= (buffer.size + 511) / 512 * 512;
  munmap(buffer.base, buffer.mapped);
  buffers.erase(found);
  return SUCCESS;
}
API cuMemFree_v2(Address address) { return cuMemFreeAsync(address, nullptr); }
API cuMemsetD8Async(Address to, unsigned char value, size_t size, void *) {
  NEEDS_CONTEXT
  if (!within(to, size)) return INVALID_VALUE;
  return memset(reinterpret_cast<void *>(to), value, size), SUCCESS;
}
API cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t size, void *) {
  NEEDS_CONTEXT
  if (!within(to, size)) return INVALID_VALUE;
  uploads += 1;
  uploaded += size;
  return memcpy(reinterpret_cast<void *>(to), from, size), SUCCESS;
}
API cuMemcpyDtoHAsync_v2(void *to, Address from, size_t size, void *) {
  NEEDS_CONTEXT
  if (!within(from, size)) return INVALID_VALUE;
  downloads += 1;
  downloaded += size;
  return memcpy(to, reinterpret_cast<void *>(from), size), SUCCESS;
}
API cuMemcpyDtoDAsync_v2(Address to, Address from, size_t size, void *) {
  NEEDS_CONTEXT
  if (!within(to, size) || !within(from, size)) return INVALID_VALUE;
  return memmove(reinterpret_cast<void *>(to), reinterpret_cast<void *>(from), size), SUCCESS;
}

API cuModuleLoadData(void **module, const void *image) {
  // Which sources an image was made of is seen by the kernels that it has.
  Module loaded;
  std::string text(static_cast<const char *>(image));
  for (size_t at = text.find(".entry "); at != std::string::npos; at = text.find(".entry ", at)) {
    at += 7;
    loaded.entries.insert(text.substr(at, text.find('(', at) - at));
  }
  size_t most = 0;
  for (auto &[name, kernels] : emulated::kernels()) {
    size_t common = 0;
    for (auto &entry : loaded.entries) common += kernels.count(entry);
    if (common > most) {
      most = common;
      loaded.name = name;
    }
  }
  if (!most) return INVALID_IMAGE;
  *module = new Module(loaded);
  return SUCCESS;
}
API cuModuleUnload(void *module) { return delete static_cast<Module *>(module), SUCCESS; }
API cuModuleGetFunction(void **function, void *module, const char *name) {
  Module &loaded = *static_cast<Module *>(module);
  if (!loaded.entries.count(name)) return NOT_FOUND;
  auto &known = emulated::kernels()[loaded.name];
  auto found = known.find(name);
  if (found == known.end()) {
    fprintf(stderr, "emulated card: `%s` is not emulated\n", name);
    return NOT_FOUND;
  }
  *function = new Function{found->second, name};
  return SUCCESS;
}
API cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                   unsigned bz, unsigned, void *, void **arguments, void **) {
  NEEDS_CONTEXT
  if (!gx || !gy || !gz || !bx || !by || !bz || bx * by * bz > 1024) return INVALID_VALUE;
  Function &one = *static_cast<Function *>(function);
  launches[one.name] += 1;
  running = one.name.c_str();
  emulated::run(one.call, {gx, gy, gz}, {bx, by, bz}, arguments);
  running = "no kernel";
  return SUCCESS;
}

namespace {

const char *words(int error) {
  switch (error) {
  case SUCCESS: return "CUDA_SUCCESS";
  case OUT_OF_MEMORY: return "CUDA_ERROR_OUT_OF_MEMORY";
  case 100: return "CUDA_ERROR_NO_DEVICE";
  case INVALID_DEVICE: return "CUDA_ERROR_INVALID_DEVICE";
  case INVALID_CONTEXT: return "CUDA_ERROR_INVALID_CONTEXT";
  case INVALID_IMAGE: return "CUDA_ERROR_INVALID_IMAGE";
  case NOT_FOUND: return "CUDA_ERROR_NOT_FOUND";
  default: return "CUDA_ERROR_INVALID_VALUE";
  }
}

} // namespace

API cuGetErrorName(int error, const char **name) { return *name = words(error), SUCCESS; }
API cuGetErrorString(int error, const char **text) {
  return *text = error == OUT_OF_MEMORY ? "out of memory" : words(error), SUCCESS;
}

// Threads of a block that take turns.

#include "threads.h"

namespace emulated {

dim3 thread_index, block_index, block_size, grid_size;
unsigned thread_number;

namespace {

const size_t STACK = 64 * 1024;

struct Thread {
  void *stack_pointer;
  bool ended;
  // Barriers and exchanges that it has come to.
  unsigned barriers, exchanges;
};

// What lanes give one another: those of the last exchange but one have been taken by all.
struct Warp {
  uint64_t bits[2][32];
};

std::vector<Thread> threads;
std::vector<Warp> warps;
std::vector<char> stacks;
Call running;
void **running_arguments;
void *scheduler;
unsigned alive, waiting, barriers_passed;
bool moved;
// Whether a thread of this launch waited for another. If none of its first block did, those of the
// others are called one after the other, without stacks of their own.
bool waited, alone;

// Saves what a call must keep, and goes on on another stack.
extern "C" void emulated_switch(void **save, void *load);
asm(R"(
.text
.globl emulated_switch
.type emulated_switch,@function
emulated_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

void yield() {
  Thread &self = threads[thread_number];
  emulated_switch(&self.stack_pointer, scheduler);
}

void body() {
  running(running_arguments);
  Thread &self = threads[thread_number];
  self.ended = true;
  alive -= 1;
  moved = true;
  void *forgotten;
  emulated_switch(&forgotten, scheduler);
  abort();
}

void prepare(unsigned number) {
  char *top = stacks.data() + (number + 1) * STACK;
  void **at = reinterpret_cast<void **>(reinterpret_cast<uintptr_t>(top) & ~uintptr_t(15));
  *--at = nullptr; // so that the stack is aligned as after a call
  *--at = reinterpret_cast<void *>(&body);
  at -= 6;
  threads[number] = {at, false, 0, 0};
}

void set_thread(unsigned number) {
  thread_number = number;
  thread_index.x = number % block_size.x;
  thread_index.y = number / block_size.x % block_size.y;
  thread_index.z = number / block_size.x / block_size.y;
}

void waits() {
  waited = true;
  if (!alone) return;
  fprintf(stderr, "emulated card: threads wait in some blocks, and not in the first\n");
  abort();
}

bool reversed() {
  static const char *order = getenv("EMULATED_CARD_ORDER");
  return order && strcmp(order, "reverse") == 0;
}

void run_block() {
  unsigned count = threads.size();
  for (unsigned number = 0; number < count; ++number) prepare(number);
  alive = count;
  waiting = 0;
  barriers_passed = 0;
  while (alive > 0) {
    moved = false;
    for (unsigned turn = 0; turn < count; ++turn) {
      unsigned number = reversed() ? count - 1 - turn : turn;
      if (threads[number].ended) continue;
      set_thread(number);
      emulated_switch(&scheduler, threads[number].stack_pointer);
    }
    if (waiting > 0 && waiting >= alive) {
      waiting = 0;
      barriers_passed += 1;
      moved = true;
    }
    if (!moved) {
      fprintf(stderr, "emulated card: threads wait for others that never come\n");
      abort();
    }
  }
}

} // namespace

std::map<std::string, std::map<std::string, Call>> &kernels() {
  static std::map<std::string, std::map<std::string, Call>> all;
  return all;
}

void barrier() {
  waits();
  Thread &self = threads[thread_number];
  self.barriers += 1;
  waiting += 1;
  moved = true;
  while (barriers_passed < self.barriers) yield();
}

uint64_t exchange(uint64_t bits, unsigned from) {
  waits();
  Thread &self = threads[thread_number];
  unsigned number = thread_number / 32;
  Warp &warp = warps[number];
  unsigned slot = self.exchanges % 2;
  self.exchanges += 1;
  warp.bits[slot][lane()] = bits;
  moved = true;
  unsigned round = self.exchanges;
  auto all_here = [&] {
    for (unsigned at = number * 32; at < std::min<size_t>(threads.size(), number * 32 + 32); ++at) {
      if (!threads[at].ended && threads[at].exchanges < round) return false;
    }
    return true;
  };
  while (!all_here()) yield();
  return warp.bits[slot][from];
}

void run(Call kernel, dim3 grid, dim3 block, void **arguments) {
  unsigned count = block.x * block.y * block.z;
  threads.resize(count);
  warps.resize((count + 31) / 32);
  if (stacks.size() < count * STACK) stacks.resize(count * STACK);
  running = kernel;
  running_arguments = arguments;
  grid_size = grid;
  block_size = block;
  waited = false;
  size_t blocks = (size_t)grid.x * grid.y * grid.z;
  for (size_t turn = 0; turn < blocks; ++turn) {
    size_t number = reversed() ? blocks - 1 - turn : turn;
    block_index.x = number % grid.x;
    block_index.y = number / grid.x % grid.y;
    block_index.z = number / grid.x / grid.y;
    alone = turn > 0 && !waited;
    if (!alone) {
      run_block();
      continue;
    }
    for (unsigned thread = 0; thread < count; ++thread) {
      set_thread(reversed() ? count - 1 - thread : thread);
      kernel(arguments);
    }
  }
  alone = false;
}

} // namespace emulated

/* A disk that fails: put before the C library, this lets the n-th call that changes something below
   a folder fail, or all from the n-th on, or be slow.

   FAULT_UNDER   part of a path that the calls have to be about
   FAULT_AT      number of the call that fails, from 1; 0 for none
   FAULT_STICKY  set: all later calls fail as well
   FAULT_ERRNO   the error
   FAULT_SLEEP   microseconds that every call takes longer
   FAULT_COUNT   file that the number of calls is written to at the end */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long calls;

static int fails(const char *path) {
  const char *under = getenv("FAULT_UNDER");
  if (under == NULL || path == NULL || strstr(path, under) == NULL) return 0;
  long number = atomic_fetch_add(&calls, 1) + 1;
  const char *slow = getenv("FAULT_SLEEP");
  if (slow != NULL) usleep(atoi(slow));
  const char *at = getenv("FAULT_AT");
  long wanted = at == NULL ? 0 : atol(at);
  if (wanted == 0) return 0;
  if (number == wanted || (number > wanted && getenv("FAULT_STICKY") != NULL)) {
    const char *error = getenv("FAULT_ERRNO");
    errno = error == NULL ? EIO : atoi(error);
    return 1;
  }
  return 0;
}

static int file_fails(int file) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return fails(path);
}

__attribute__((destructor)) static void tell(void) {
  const char *count = getenv("FAULT_COUNT");
  if (count == NULL) return;
  FILE *file = fopen(count, "w");
  if (file == NULL) return;
  fprintf(file, "%ld\n", atomic_load(&calls));
  fclose(file);
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define OPENS(name)                                                        \
  int name(const char *path, int flags, ...) {                             \
    REAL(name);                                                            \
    va_list more;                                                          \
    va_start(more, flags);                                                 \
    int mode = va_arg(more, int);                                          \
    va_end(more);                                                          \
    if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && fails(path)) return -1; \
    return real(path, flags, mode);                                        \
  }
OPENS(open)
OPENS(open64)

#define ON_FILE(type, name, declared, given)  \
  type name declared {                        \
    REAL(name);                               \
    if (file_fails(file)) return -1;          \
    return real given;                        \
  }
ON_FILE(ssize_t, write, (int file, const void *bytes, size_t count), (file, bytes, count))
ON_FILE(int, fsync, (int file), (file))
ON_FILE(int, fdatasync, (int file), (file))
ON_FILE(int, fchmod, (int file, mode_t mode), (file, mode))

#define ON_PATH(name, declared, given) \
  int name declared {                  \
    REAL(name);                        \
    if (fails(path)) return -1;        \
    return real given;                 \
  }
ON_PATH(mkdir, (const char *path, mode_t mode), (path, mode))
ON_PATH(chmod, (const char *path, mode_t mode), (path, mode))
ON_PATH(rename, (const char *path, const char *to), (path, to))
ON_PATH(link, (const char *path, const char *to), (path, to))
ON_PATH(unlink, (const char *path), (path))

int linkat(int from, const char *path, int to, const char *other, int flags) {
  REAL(linkat);
  if (fails(path)) return -1;
  return real(from, path, to, other, flags);
}

int unlinkat(int folder, const char *path, int flags) {
  REAL(unlinkat);
  if (file_fails(folder)) return -1;
  return real(folder, path, flags);
}

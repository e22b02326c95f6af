/* Copies the same bytes from memory to a file in pieces of 4 MiB, as a journal would, and no more.
 *
 * copy PROCESSES BYTES DIRECTORY [SYNC_MILLISECONDS]: each process writes its share to a file of its
 * own. One JSON object says what that took. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PIECE_BYTES = 4 * 1024 * 1024 };

static long long now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void copy(const char *directory, int number, long long bytes, long sync_milliseconds) {
  char path[4096];
  snprintf(path, sizeof path, "%s/out-%d", directory, number);
  int descriptor = open(path, O_CREAT | O_WRONLY, 0600);
  char *source = malloc(PIECE_BYTES), *target = malloc(PIECE_BYTES);
  if (descriptor < 0 || !source || !target) _exit(1);
  memset(source, 'x', PIECE_BYTES);
  long long synced_ns = now_ns();
  while (bytes > 0) {
    size_t piece = bytes < PIECE_BYTES ? (size_t)bytes : PIECE_BYTES;
    memcpy(target, source, piece);
    source[0] ^= 1; /* so that no compiler hoists the copy out of the loop */
    if (write(descriptor, target, piece) != (ssize_t)piece) _exit(1);
    bytes -= (long long)piece;
    if (sync_milliseconds > 0 && now_ns() - synced_ns > sync_milliseconds * 1000000LL) {
      if (fdatasync(descriptor) != 0) _exit(1);
      synced_ns = now_ns();
    }
  }
  if (sync_milliseconds > 0 && fdatasync(descriptor) != 0) _exit(1);
  _exit(0);
}

int main(int count, char **arguments) {
  if (count < 4) {
    fprintf(stderr, "see the head of copy.c\n");
    return 2;
  }
  int processes = atoi(arguments[1]), failed = 0, status;
  long sync_milliseconds = count > 4 ? atol(arguments[4]) : 0;
  long long began_ns = now_ns();
  for (int number = 0; number < processes; ++number)
    if (fork() == 0) copy(arguments[3], number, atoll(arguments[2]) / processes, sync_milliseconds);
  while (wait(&status) > 0) failed |= status != 0;
  struct rusage usage;
  getrusage(RUSAGE_CHILDREN, &usage);
  printf("{\"seconds\":%.6f,\"cpu_seconds\":%.6f}\n", (double)(now_ns() - began_ns) * 1e-9,
         (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec * 1e-6 +
             (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec * 1e-6);
  return failed;
}

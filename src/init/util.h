#pragma once

#include <stddef.h>
#include <sys/types.h>

/// Small helpers of cacs-init. Nothing here allocates, throws or blocks for long.

/// A decimal number from a file; 0 where there is none.
long read_number_file(const char* path);
/// The first word of a file; "-" where there is none.
void read_word_file(const char* path, char* out, size_t size);

/// Writes the exit record durably (temporary name, fsync, rename, fsync of the directory).
void record_exit(long incarnation, int wait_status);
void record_exec_failure(long incarnation, int error);

/// Receives exactly `size` bytes, waiting at most a few seconds for a peer that stalls.
bool receive_all(int fd, char* out, size_t size);

/// Says what failed on standard error and gives an exit code.
int fail(const char* what, int error);

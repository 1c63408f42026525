#pragma once

#include <stddef.h>
#include <sys/types.h>

/// Starts the application: own session and process group, standard output and error appended to files of the delta
/// (/.cacs/log/stdout, stderr), standard input /dev/null, as `user` ("root", "nobody", "1000:100"), in `cwd`, with our
/// own environment. Returns its pid, or the negative errno of what failed (ENOENT: no such command).
pid_t launch_application(const char* user, const char* cwd, char** command);

/// The same for a command run beside the application: output goes to /.cacs/exec/ID.out and ID.err. Strings are
/// NUL-ended one after the other in the blocks given. Returns the pid or a negative errno.
pid_t launch_exec(unsigned long id, const char* user, const char* cwd, const char* env, size_t env_length,
                  const char* arguments, size_t arguments_length);

/// The calling process goes on as `user`, for good and without new privileges, in the user's home, with HOME, USER,
/// LOGNAME and PATH where the environment has none. 0 or an errno.
int become_user(const char* user);

/// All of the calling process from `first` on.
void close_descriptors(int first);

#pragma once

#include <sys/types.h>

/// Launching commands in other pods of the application: what mpirun takes for rsh. `cacs-rsh HOST COMMAND...` connects
/// to HOST's init, which forks a server for the connection; that runs the command with the pod's environment, as the
/// application's user, and carries standard input, output, error and the exit status. All of it is inside the
/// application's own network, so all of it is saved and restored with the job.
///
/// The stream, both ways: frames of a type, a length (4 bytes, the highest first, at most kMaxFrame) and so many bytes.
/// The client begins with kMagic, then kCommand; the server ends with kStatus.
namespace remote {

inline constexpr char kMagic[8] = {'C', 'A', 'C', 'S', 'R', 'S', 'H', '1'};
inline constexpr unsigned kPort = 514;  ///< rsh's own: an application has no use for it, and only root can take it
inline constexpr size_t kHeader = 5;
inline constexpr size_t kMaxFrame = 64 << 10;

enum Frame : char {
  kCommand = 'C',  ///< for /bin/sh -c, without a NUL
  kInput = 'I',    ///< of length 0: there is no more
  kOutput = 'O',
  kError = 'R',
  kStatus = 'S',  ///< one byte, as a shell gives it
};

void put_header(char* at, Frame type, size_t length);
size_t frame_length(const char* header);

}  // namespace remote

/// In init: listens on `address`. A descriptor, or a negative errno.
int listen_for_launches(const char* address);
/// Takes a connection, and forks the server for it, which becomes `user`. The server is init's child.
void accept_launch(int listener, const char* user);

/// `cacs-rsh [options] HOST COMMAND...`; options as of rsh and ssh are passed over. Its exit code is the command's;
/// 255: the command could not be run, or the connection ended.
int run_remote_shell(int argc, char** argv);

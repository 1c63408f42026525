#pragma once

/// What is said on init's socket, /.cacs/init.sock, inside a pod. Included by init itself, by the shim and by libcacs,
/// so it is C and has no dependencies.
///
/// A message is one line: words separated by single spaces, ended by '\n', at most CACS_INIT_MAX_LINE bytes. The first
/// line of a connection is the greeting, which carries the version of the protocol; init answers with its own. A
/// restored init may be years old: words and verbs are only ever added, and an unknown verb is answered with `error
/// unsupported`.
///
/// A client in the pod (libcacs, cacs-pod) says:
///   cacs 1 client                      -> cacs 1 init
///   checkpoint LEVEL|-                 -> resumed ID LEVEL|- | restored ID | error CODE TEXT...
///     `-`: answered when the checkpoint is taken; LEVEL: when it is committed there
///   progress N                         -> ok
///   incarnation                        -> incarnation N
///
/// The shim, known by its credentials (uid 0 and a pid that does not exist in the pod: SO_PEERCRED gives 0), says:
///   cacs 1 shim                        -> cacs 1 init, then events
///   outcome REQUEST taken ID - | committed ID LEVEL | failed CODE TEXT...
///   exec EXEC USER CWD-LEN ENV-LEN ARG-LEN, followed by that many bytes of NUL-ended strings
///                                      -> event `exec-exit EXEC STATUS` when it has ended
///   signal N                           (to the application's process group)
///   quiesce                            -> quiesced, and init closes the connection
/// and hears:
///   request REQUEST LEVEL|-            the application asks for a checkpoint
///   progress N
///   exec-exit EXEC WAIT-STATUS
#define CACS_INIT_VERSION 1
#define CACS_INIT_MAX_LINE 4096
#define CACS_INIT_MAX_EXEC (1 << 20)

/// The application's pid inside the pod: the first child of the first process, also after every restore.
#define CACS_APPLICATION_PID 2

#define CACS_POD_DIR "/.cacs"
/// In init's environment where there are other pods: the pod's address among them. Init takes launches there
/// (init/remote.h).
#define CACS_ADDRESS_VARIABLE "CACS_ADDRESS"
/// In the environment of an application that saves itself and runs on what it saved.
#define CACS_RESTARTED_VARIABLE "CACS_RESTARTED"
#define CACS_INIT_SOCKET CACS_POD_DIR "/init.sock"
/// The shim writes the pod's incarnation here after rolling the delta back and before the engine runs; one decimal
/// number.
#define CACS_INCARNATION_FILE CACS_POD_DIR "/incarnation"
/// Id of the checkpoint that the pod was restored from; written together with the incarnation.
#define CACS_RESTORED_FROM_FILE CACS_POD_DIR "/restored_from"
/// How the application ended, fsynced by init before it exits: `INCARNATION WAIT-STATUS` or `INCARNATION exec ERRNO`.
#define CACS_EXIT_FILE CACS_POD_DIR "/exit"
#define CACS_LOG_DIR CACS_POD_DIR "/log"
/// ID.out and ID.err take what a command run by `exec` prints; ID.in, where it is there, is its standard input.
#define CACS_EXEC_DIR CACS_POD_DIR "/exec"

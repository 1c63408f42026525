#pragma once

/// `cacs-pod`, the small command for scripts inside a pod: `checkpoint [--wait]`, `progress N`, `incarnation`.
int run_client(int argc, char** argv);

/// CRIU's action script: passes the action on to the shim's notification socket (CACS_NOTIFY) and waits for its
/// verdict. Exit 0 lets CRIU go on, 1 aborts.
int run_notify();

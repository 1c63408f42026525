#pragma once

#include <chrono>

namespace cacs::net {

/// Has the kernel end a TCP connection whose other end has not been heard of for `limit`, whether something is under
/// way to it or not (TCP_USER_TIMEOUT, keep-alive); otherwise that takes a quarter of an hour, or for ever. A socket
/// that is none of TCP stays as it is.
void give_up_silent_peer(int fd, std::chrono::milliseconds limit);

}  // namespace cacs::net

#include "init/remote.h"

#include <stdint.h>

namespace remote {

void put_header(char* at, Frame type, size_t length) {
  at[0] = type;
  for (int i = 0; i < 4; ++i) at[1 + i] = static_cast<char>(length >> (24 - 8 * i) & 0xff);
}

size_t frame_length(const char* header) {
  size_t length = 0;
  for (int i = 0; i < 4; ++i) length = length << 8 | static_cast<uint8_t>(header[1 + i]);
  return length;
}

}  // namespace remote

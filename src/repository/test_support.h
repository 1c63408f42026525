#pragma once

#include <string>
#include <string_view>

#include "base/io.h"
#include "repository/backend/test_support.h"
#include "repository/repository.h"

namespace cacs::repository {

inline Result<BlobRef> put_text(Writer& writer, std::string_view text, StreamKind kind = StreamKind::kFile) {
  MemorySource source(as_bytes(text));
  return writer.put(source, kind);
}

inline Result<std::string> read_text(Repository& repository, const BlobRef& blob) {
  StringSink sink(blob.size);
  CACS_TRY(repository.read_blob(blob, sink));
  return sink.take();
}

}  // namespace cacs::repository

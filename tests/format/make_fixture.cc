// make_format_fixture DIRECTORY: makes the golden repository of this version, once, for tests/format/fixtures. The ids
// of its checkpoints go to standard output.

#include <cstdio>

#include "sample.h"

int main(int argc, char** argv) {
  using namespace cacs;
  if (argc != 2) {
    std::fputs("usage: make_format_fixture DIRECTORY\n", stderr);
    return 2;
  }
  format::set_compression(format::Compressing::kYes);
  const auto run = [&]() -> Status {
    CACS_ASSIGN(const format::Sample sample, format::make_sample(argv[1], format::SampleSize::kTiny));
    CACS_ASSIGN(const auto repository, format::open_sample(argv[1]));
    // So that there is a pack of a later generation, with slots dropped.
    CACS_TRY(repository->remove(sample.checkpoints.front()));
    CACS_TRY(repository->collect({.max_garbage = 0}));
    for (const auto& id : sample.checkpoints) std::puts(id.c_str());
    return {};
  };
  const Status status = run();
  if (!status) std::fprintf(stderr, "%s\n", status.error().to_string().c_str());
  return status ? 0 : 1;
}

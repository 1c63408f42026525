#include "data_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace cacs::bench {

namespace {

template <typename T>
void put(std::string& out, std::size_t& at, std::size_t to, T value) {
  const std::size_t count = std::min(sizeof value, to - at);
  std::memcpy(out.data() + at, &value, count);
  at += count;
}

}  // namespace

void fill_random(std::string& out, std::size_t from, std::size_t to, Random& random) {
  for (std::size_t at = from; at < to;) put(out, at, to, random());
}

void fill_text(std::string& out, std::size_t from, std::size_t to, Random& random) {
  std::vector<std::string> words(5000);
  for (auto& word : words) {
    word.resize(2 + random() % 9);
    for (char& letter : word) letter = static_cast<char>('a' + random() % 26);
    word += ' ';
  }
  std::exponential_distribution<> rank(1.0 / 300);
  for (std::size_t at = from; at < to;) {
    const auto& word = words[std::min<std::size_t>(static_cast<std::size_t>(rank(random)), words.size() - 1)];
    const std::size_t count = std::min(word.size(), to - at);
    std::memcpy(out.data() + at, word.data(), count);
    at += count;
  }
}

void fill_records(std::string& out, std::size_t from, std::size_t to, Random& random) {
  for (std::size_t at = from; at < to;) {
    put(out, at, to, std::uint64_t{0x5581a0000000} + (random() & 0xfffff0U));
    put(out, at, to, static_cast<std::uint32_t>(random() % 1000));
    put(out, at, to, static_cast<std::uint32_t>(random() % 4));
  }
}

void fill_floats(std::string& out, std::size_t from, std::size_t to, Random& random) {
  std::normal_distribution<> noise(0, 1e-4);
  for (std::size_t at = from; at < to;) {
    const double place = static_cast<double>(at) * 1e-5;
    put(out, at, to, std::sin(place) * (1 + noise(random)));
  }
}

void fill_mixed(std::string& out, Random& random) {
  constexpr std::array<Fill, 4> kFills = {fill_text, fill_records, fill_floats, fill_random};
  constexpr std::size_t kRun = std::size_t{4} << 20U;
  for (std::size_t at = 0; at < out.size(); at += kRun) {
    kFills[at / kRun % kFills.size()](out, at, std::min(out.size(), at + kRun), random);
  }
}

}  // namespace cacs::bench

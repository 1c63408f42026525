#pragma once

#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/io.h"
#include "engine/criu_image.h"

namespace cacs::engine {

/// Images made by hand, for the tests beside this.

inline std::string test_word(std::uint32_t value) { return {reinterpret_cast<const char*>(&value), sizeof value}; }

inline std::string test_entry(std::string_view message) {
  return test_word(static_cast<std::uint32_t>(message.size())) + std::string(message);
}

inline std::string test_image(std::uint32_t magic, std::initializer_list<std::string> messages) {
  std::string image = "\x19\x43\x56\x54" + test_word(magic);
  for (const auto& message : messages) image += test_entry(message);
  return image;
}

/// A directory of images that is removed with everything in it.
class TestImages {
 public:
  TestImages() {
    std::string name = "/tmp/cacs-images-XXXXXX";
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  TestImages(const TestImages&) = delete;
  TestImages& operator=(const TestImages&) = delete;
  ~TestImages() { (void)remove_tree(path_); }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// Whether it could be written.
  [[nodiscard]] bool write(const std::string& name, std::string_view bytes) const {
    return write_file_durably(path_ / name, bytes).ok();
  }

 private:
  std::filesystem::path path_;
};

}  // namespace cacs::engine

#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cacs::basefs {

/// A part of the base that a program which used something of it is likely to use later.
struct Surroundings {
  std::string root;
  bool recursive = true;

  friend bool operator==(const Surroundings&, const Surroundings&) = default;
};

/// Source or byte code of an interpreted language, by its name.
bool is_module(std::string_view path);
/// The system's own directories: there only what is opened counts, modules excepted.
bool is_system_directory(std::string_view path);

/// What belongs to a file that was opened: for a module the tree that its package lies in (the package alone where a
/// distribution collects everybody's); the tree of its directory outside of the system's; nothing for a shared library
/// or another file of the system.
std::optional<Surroundings> surroundings_of_file(const std::filesystem::path& base, const std::string& path);
/// What belongs to a directory that was listed, or that the program was told of: its tree; of one of the system's the
/// files in it, if modules are among them.
std::optional<Surroundings> surroundings_of_directory(const std::filesystem::path& base, const std::string& path);

/// The files and links in it, directory by directory, sorted. Not entered: other file systems, names that begin with a
/// dot, `excluded` trees, more than 16 levels. Stops when `visit` returns false.
void walk(const std::filesystem::path& base, const Surroundings& where, const std::vector<std::string>& excluded,
          const std::function<bool(const std::string& path)>& visit);

/// Whether `path` is `tree` or lies in it.
bool is_within(std::string_view path, std::string_view tree);

}  // namespace cacs::basefs

#define FUSE_USE_VERSION 312

#include "inspect/fuse_files.h"

#include <fuse.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <mutex>

namespace cacs::inspect {

namespace {

constexpr double kKernelKeepsSeconds = 2;  // names and attributes: as long as the lists are old

struct Server {
  Catalogue& catalogue;
  const ReportProblem& report;
};

/// A file that is open. One reader at a time; the tree is kept for as long.
struct OpenFile {
  std::mutex mutex;
  std::shared_ptr<CheckpointTree> tree;
  std::unique_ptr<FileReader> reader;
};

Server& server() { return *static_cast<Server*>(::fuse_get_context()->private_data); }

OpenFile* open_file_of(const fuse_file_info* info) {
  return reinterpret_cast<OpenFile*>(info->fh);  // NOLINT(performance-no-int-to-ptr): how libfuse keeps it
}

/// What a caller of the file system gets for an error. That of a name which is not there is nothing to tell anybody.
int answer(const char* path, const Error& error) {
  if (error.code == ErrorCode::kNotFound) return -ENOENT;
  if (error.code == ErrorCode::kInvalidArgument) return -ENOTDIR;
  server().report(path, error);
  return error.code == ErrorCode::kPermission ? -EACCES : -EIO;
}

mode_t type_bits(delta::EntryType type) {
  using delta::EntryType;
  switch (type) {
    case EntryType::kRegular:
      return S_IFREG;
    case EntryType::kDirectory:
      return S_IFDIR;
    case EntryType::kSymlink:
      return S_IFLNK;
    case EntryType::kFifo:
      return S_IFIFO;
    case EntryType::kSocket:
      return S_IFSOCK;
    case EntryType::kCharDevice:
      return S_IFCHR;
    case EntryType::kBlockDevice:
      break;
  }
  return S_IFBLK;
}

struct stat stat_of(const Node& node) {
  struct stat status = {};
  status.st_mode = type_bits(node.type) | (node.mode & 07777U);
  status.st_nlink = 1;
  status.st_uid = node.uid;
  status.st_gid = node.gid;
  status.st_rdev = makedev(node.rdev_major, node.rdev_minor);
  status.st_size = static_cast<off_t>(node.size);
  status.st_blksize = static_cast<blksize_t>(repository::kPageBytes);
  status.st_blocks = static_cast<blkcnt_t>((node.size + 511) / 512);
  status.st_mtim = {.tv_sec = node.mtime.seconds, .tv_nsec = static_cast<long>(node.mtime.nanoseconds)};
  status.st_ctim = status.st_mtim;
  status.st_atim = status.st_mtim;
  return status;
}

int get_attributes(const char* path, struct stat* status, fuse_file_info* /*info*/) {
  const auto found = server().catalogue.find(path);
  if (!found) return answer(path, found.error());
  *status = stat_of(found->node);
  return 0;
}

int read_link(const char* path, char* buffer, std::size_t size) {
  const auto found = server().catalogue.find(path);
  if (!found) return answer(path, found.error());
  if (found->node.type != delta::EntryType::kSymlink) return -EINVAL;
  const std::size_t length = std::min(found->node.target.size(), size - 1);
  std::memcpy(buffer, found->node.target.data(), length);
  buffer[length] = '\0';
  return 0;
}

int open_for_reading(const char* path, fuse_file_info* info) {
  if ((info->flags & O_ACCMODE) != O_RDONLY) return -EROFS;
  const auto found = server().catalogue.find(path);
  if (!found) return answer(path, found.error());
  auto reader = open_file_reader(server().catalogue.repository(), found->node);
  if (!reader) {
    if (reader.error().code == ErrorCode::kInvalidArgument) return -EINVAL;
    return answer(path, reader.error());
  }
  auto file = std::make_unique<OpenFile>();
  file->tree = found->tree;
  file->reader = *std::move(reader);
  info->fh = reinterpret_cast<std::uint64_t>(file.release());
  info->keep_cache = 1;  // what is in a checkpoint never changes
  return 0;
}

int read_bytes(const char* path, char* buffer, std::size_t size, off_t offset, fuse_file_info* info) {
  OpenFile& file = *open_file_of(info);
  const std::lock_guard lock(file.mutex);
  const auto got =
      file.reader->read_at(static_cast<std::uint64_t>(offset), std::as_writable_bytes(std::span(buffer, size)));
  if (got) return static_cast<int>(*got);
  server().report(path, got.error());
  return -EIO;
}

int release(const char* /*path*/, fuse_file_info* info) {
  const std::unique_ptr<OpenFile> file(open_file_of(info));
  return 0;
}

int read_directory(const char* path, void* buffer, fuse_fill_dir_t fill, off_t /*offset*/, fuse_file_info* /*info*/,
                   fuse_readdir_flags /*flags*/) {
  constexpr auto kPlain = static_cast<fuse_fill_dir_flags>(0);
  fill(buffer, ".", nullptr, 0, kPlain);
  fill(buffer, "..", nullptr, 0, kPlain);
  const Status status = server().catalogue.list(path, [&](std::string_view name, const Node& node) -> Status {
    const struct stat attributes = stat_of(node);
    if (fill(buffer, std::string(name).c_str(), &attributes, 0, kPlain) != 0) {
      return make_error(ErrorCode::kIo, "no memory for the list of names");
    }
    return {};
  });
  return status ? 0 : answer(path, status.error());
}

int file_system_facts(const char* /*path*/, struct statvfs* facts) {
  *facts = {};
  facts->f_bsize = repository::kPageBytes;
  facts->f_frsize = repository::kPageBytes;
  facts->f_namemax = delta::kMaxNameBytes;
  facts->f_flag = ST_RDONLY;
  return 0;
}

void* start(fuse_conn_info* /*connection*/, fuse_config* config) {
  config->entry_timeout = kKernelKeepsSeconds;
  config->attr_timeout = kKernelKeepsSeconds;
  config->negative_timeout = 0;
  config->nullpath_ok = 0;
  return ::fuse_get_context()->private_data;
}

fuse_operations operations() {
  fuse_operations calls = {};
  calls.getattr = get_attributes;
  calls.readlink = read_link;
  calls.open = open_for_reading;
  calls.read = read_bytes;
  calls.release = release;
  calls.readdir = read_directory;
  calls.statfs = file_system_facts;
  calls.init = start;
  return calls;
}

struct FuseDeleter {
  void operator()(::fuse* handle) const { ::fuse_destroy(handle); }
  void operator()(fuse_loop_config* config) const { ::fuse_loop_cfg_destroy(config); }
};

}  // namespace

Status serve_files(Catalogue& catalogue, const MountOptions& options, const std::string& source,
                   const ReportProblem& report, const std::function<void()>& mounted) {
  Server served{.catalogue = catalogue, .report = report};
  std::string flags = "ro,nosuid,nodev,subtype=cacs,fsname=" + source;
  if (options.allow_other) flags += ",allow_other,default_permissions";
  std::vector<std::string> words = {"cacs", "-o", flags};
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (auto& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  fuse_args arguments = FUSE_ARGS_INIT(static_cast<int>(words.size()), pointers.data());
  const fuse_operations calls = operations();
  const std::unique_ptr<::fuse, FuseDeleter> handle(::fuse_new(&arguments, &calls, sizeof calls, &served));
  ::fuse_opt_free_args(&arguments);
  const std::string doing = "mount checkpoints at " + options.mountpoint.string();
  if (!handle) return make_error(ErrorCode::kIo, doing + ": libfuse cannot be set up");
  if (::fuse_mount(handle.get(), options.mountpoint.c_str()) != 0) {
    return make_error(ErrorCode::kIo, doing + ": it failed; the lines before say why",
                      "this takes root, or the program fusermount3 (package fuse3)");
  }
  mounted();
  const std::unique_ptr<fuse_loop_config, FuseDeleter> config(::fuse_loop_cfg_create());
  const int ended = ::fuse_loop_mt(handle.get(), config.get());
  ::fuse_unmount(handle.get());
  if (ended != 0 && ended != -ENODEV) return errno_error(ended < 0 ? -ended : EIO, doing + ": serve it");
  return {};
}

}  // namespace cacs::inspect

#include "nfs_storage.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <mutex>

#include "base/uuid.h"

#include <nfsc/libnfs.h>

namespace cacs::testing {

namespace {

using repository::FileInfo;
using repository::ReadableFile;
using repository::Storage;
using repository::WritableFile;

/// Of one request. libnfs 4 has 4 KiB to encode one of NFSv4 in.
constexpr std::size_t kWriteBytes = std::size_t{3} << 10U;
constexpr std::size_t kReadBytes = std::size_t{64} << 10U;

struct FreeContext {
  void operator()(nfs_context* context) const { nfs_destroy_context(context); }
};
struct FreeUrl {
  void operator()(nfs_url* url) const { nfs_destroy_url(url); }
};

/// One connection; libnfs wants one thread at a time.
class Client {
 public:
  static Result<std::shared_ptr<Client>> connect(const std::string& url) {
    auto client = std::make_shared<Client>();
    client->context_.reset(nfs_init_context());
    if (!client->context_) return make_error(ErrorCode::kInternal, "libnfs has no context");
    nfs_set_dircache(client->context_.get(), 0);
    // Two of one name are one client to the server: the second would end the first one's state.
    nfs4_set_client_name(client->context_.get(), ("cacs " + new_uuid()).c_str());
    const std::unique_ptr<nfs_url, FreeUrl> parsed(nfs_parse_url_dir(client->context_.get(), url.c_str()));
    if (!parsed) return make_error(ErrorCode::kInvalidArgument, "no NFS location: " + url);
    const int mounted = nfs_mount(client->context_.get(), parsed->server, parsed->path);
    if (mounted != 0) return client->failure(mounted, "mount " + url);
    return client;
  }

  /// Calls one of libnfs: it returns a number, negative for failure.
  template <typename Call>
  Result<int> call(const std::string& doing, Call&& what) {
    const std::lock_guard lock(mutex_);
    const int result = what(context_.get());
    if (result < 0) return failure(result, doing);
    return result;
  }

 private:
  /// As the storage of local files tells them apart (file_storage.cpp).
  Error failure(int negative, const std::string& doing) {
    const int number = -negative;
    Error error = errno_error(number, doing + " over NFS");
    if (number == ENOTDIR || number == EISDIR) error.code = ErrorCode::kNotFound;
    if (number == EEXIST || number == ENOTEMPTY) error.code = ErrorCode::kConflict;
    if (number == ESTALE || number == EAGAIN) error.code = ErrorCode::kUnavailable;
    const char* text = nfs_get_error(context_.get());
    if (text != nullptr) error.message += std::string(" (") + text + ")";
    return error;
  }

  std::mutex mutex_;
  std::unique_ptr<nfs_context, FreeContext> context_;
};
using ClientPtr = std::shared_ptr<Client>;

FileInfo info_of(const nfs_stat_64& found) {
  return {.size = found.nfs_size,
          .links = found.nfs_nlink,
          .directory = S_ISDIR(found.nfs_mode),
          .id = {found.nfs_dev, found.nfs_ino}};
}

/// An open file, closed at the end.
class Handle {
 public:
  Handle(ClientPtr client, nfsfh* file, std::string path)
      : client_(std::move(client)), file_(file), path_(std::move(path)) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() {
    static_cast<void>(client_->call("close", [&](nfs_context* nfs) { return nfs_close(nfs, file_); }).ok());
  }
  static Result<std::unique_ptr<Handle>> open(const ClientPtr& client, const std::string& path, int flags, int mode) {
    nfsfh* file = nullptr;
    CACS_TRY(client->call("open " + path,
                          [&](nfs_context* nfs) { return nfs_open2(nfs, path.c_str(), flags, mode, &file); }));
    return std::make_unique<Handle>(client, file, path);
  }
  template <typename Call>
  Result<int> call(const std::string& doing, Call&& what) const {
    return client_->call(doing + " " + path_, [&](nfs_context* nfs) { return what(nfs, file_); });
  }
  [[nodiscard]] Result<FileInfo> info() const {
    nfs_stat_64 found{};
    CACS_TRY(call("stat", [&](nfs_context* nfs, nfsfh* file) { return nfs_fstat64(nfs, file, &found); }));
    return info_of(found);
  }

 private:
  ClientPtr client_;
  nfsfh* file_;
  std::string path_;
};

class NfsWriter final : public WritableFile {
 public:
  explicit NfsWriter(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
  Status append(std::span<const std::byte> data) override {
    while (!data.empty()) {
      const std::size_t count = std::min(data.size(), kWriteBytes);
      CACS_ASSIGN(const int written, handle_->call("write", [&](nfs_context* nfs, nfsfh* file) {
        return nfs_pwrite(nfs, file, end_, count, data.data());
      }));
      end_ += static_cast<std::uint64_t>(written);
      data = data.subspan(static_cast<std::size_t>(written));
    }
    return {};
  }
  Status sync() override {
    CACS_TRY(handle_->call("commit", [](nfs_context* nfs, nfsfh* file) { return nfs_fsync(nfs, file); }));
    return {};
  }

 private:
  std::unique_ptr<Handle> handle_;
  std::uint64_t end_ = 0;
};

class NfsReader final : public ReadableFile {
 public:
  explicit NfsReader(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
  [[nodiscard]] Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    std::size_t done = 0;
    while (done < out.size()) {
      const std::size_t count = std::min(out.size() - done, kReadBytes);
      CACS_ASSIGN(const int got, handle_->call("read", [&](nfs_context* nfs, nfsfh* file) {
        return nfs_pread(nfs, file, offset + done, count, out.data() + done);
      }));
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }
  [[nodiscard]] Result<FileInfo> info() const override { return handle_->info(); }

 private:
  std::unique_ptr<Handle> handle_;
};

class NfsStorage final : public Storage {
 public:
  NfsStorage(ClientPtr client, std::string folder) : client_(std::move(client)), folder_("/" + std::move(folder)) {}

  Result<std::unique_ptr<WritableFile>> create(const std::string& name) override {
    CACS_ASSIGN(auto handle, Handle::open(client_, path(name), O_WRONLY | O_CREAT | O_EXCL, 0600));
    return std::unique_ptr<WritableFile>(std::make_unique<NfsWriter>(std::move(handle)));
  }
  Result<std::unique_ptr<ReadableFile>> open(const std::string& name) override {
    CACS_ASSIGN(const FileInfo found, stat(name));
    if (found.directory) return make_error(ErrorCode::kNotFound, "open " + path(name) + ": it is no file");
    CACS_ASSIGN(auto handle, Handle::open(client_, path(name), O_RDONLY, 0));
    return std::unique_ptr<ReadableFile>(std::make_unique<NfsReader>(std::move(handle)));
  }
  Result<FileInfo> stat(const std::string& name) override {
    nfs_stat_64 found{};
    CACS_TRY(client_->call("stat " + path(name),
                           [&](nfs_context* nfs) { return nfs_lstat64(nfs, path(name).c_str(), &found); }));
    if (!S_ISREG(found.nfs_mode) && !S_ISDIR(found.nfs_mode)) {
      return make_error(ErrorCode::kNotFound, "stat " + path(name) + ": neither file nor directory");
    }
    return info_of(found);
  }
  Status rename(const std::string& from, const std::string& to) override {
    const auto renamed = client_->call("rename " + path(from) + " to " + to, [&](nfs_context* nfs) {
      return nfs_rename(nfs, path(from).c_str(), path(to).c_str());
    });
    if (renamed) return {};
    Error error = renamed.error();
    if (error.os_errno == EISDIR) error.code = ErrorCode::kConflict;
    return error;
  }
  Status link(const std::string& from, const std::string& to) override {
    const auto linked = client_->call("link " + path(from) + " to " + to, [&](nfs_context* nfs) {
      return nfs_link(nfs, path(from).c_str(), path(to).c_str());
    });
    if (linked) return {};
    // The same idiom as for local files: an answer was lost, the request sent again.
    const auto ours = stat(from);
    const auto theirs = stat(to);
    if (ours && theirs && ours->id == theirs->id) return {};
    return linked.error();
  }
  Status rename_new(const std::string& /*from*/, const std::string& /*to*/) override {
    return make_error(ErrorCode::kUnsupported, "NFS has no rename that replaces nothing");
  }
  Status remove(const std::string& name) override {
    CACS_TRY(
        client_->call("remove " + path(name), [&](nfs_context* nfs) { return nfs_unlink(nfs, path(name).c_str()); }));
    return {};
  }
  Result<bool> remove_abandoned(const std::string& /*name*/) override { return false; }
  /// The server answers changes of names when they are durable (RFC 7530, 15.3.1).
  Status sync_directory(const std::string& directory) override {
    const auto found = stat(directory);
    return found ? ok_status() : Status(found.error());
  }
  Result<std::vector<std::string>> list(const std::string& directory) override {
    std::vector<std::string> names;
    CACS_TRY(client_->call("list " + path(directory), [&](nfs_context* nfs) {
      nfsdir* stream = nullptr;
      const int opened = nfs_opendir(nfs, path(directory).c_str(), &stream);
      if (opened < 0) return opened;
      while (const nfsdirent* entry = nfs_readdir(nfs, stream)) {
        const std::string_view name = entry->name;
        if (name != "." && name != "..") names.emplace_back(name);
      }
      nfs_closedir(nfs, stream);
      return 0;
    }));
    return names;
  }
  Status make_directory(const std::string& directory) override {
    const std::string whole = path(directory);
    for (std::size_t end = whole.find('/', 1);; end = whole.find('/', end + 1)) {
      const std::string part = whole.substr(0, end);
      const auto made =
          client_->call("make " + part, [&](nfs_context* nfs) { return nfs_mkdir2(nfs, part.c_str(), 0700); });
      if (!made && made.error().os_errno != EEXIST) {
        Error error = made.error();
        if (error.os_errno == ENOTDIR) error.code = ErrorCode::kConflict;
        return error;
      }
      if (end == std::string::npos) break;
    }
    CACS_ASSIGN(const FileInfo found, stat(directory));
    if (!found.directory) return make_error(ErrorCode::kConflict, "make " + whole + ": it is a file");
    return {};
  }
  [[nodiscard]] bool shared_with_other_hosts() const override { return true; }
  [[nodiscard]] std::string boot_id() const override { return boot_id_; }
  [[nodiscard]] std::string describe() const override { return "nfs:" + folder_; }

 private:
  [[nodiscard]] std::string path(const std::string& name) const {
    return name.empty() ? folder_ : folder_ + "/" + name;
  }

  ClientPtr client_;
  std::string folder_;
  std::string boot_id_ = new_uuid();
};

}  // namespace

Result<std::unique_ptr<Storage>> make_nfs_storage(const std::string& url, const std::string& folder) {
  CACS_ASSIGN(auto client, Client::connect(url));
  return std::unique_ptr<Storage>(std::make_unique<NfsStorage>(std::move(client), folder));
}

}  // namespace cacs::testing
